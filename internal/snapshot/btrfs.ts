/** The btrfs driver: as vfs, but every tree is a subvolume and every copy a snapshot. */
import { CtrError } from "../errors/error.ts";
import { createSubvolume, isBtrfs, parentOf, snapshotSubvolume } from "../sys/btrfs.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, open } from "../sys/fd.ts";
import { applyLayer } from "./apply-layer.ts";
import { flatName } from "./flat.ts";
import { finishRoot, freshName } from "./flat-root.ts";
import { removeSnapshot } from "./remove-snapshot.ts";
import type { Snapshotter } from "./snapshotter.ts";

export const btrfs: Snapshotter = {
  name: "btrfs",

  check(scratch) {
    using directory = open(scratch, O_RDONLY | O_DIRECTORY);
    if (!isBtrfs(directory.number))
      throw new CtrError("unsupported", "storage driver btrfs does not work here: the store is not on btrfs");
  },

  finishLayer(unpacked, below) {
    const flat = `${unpacked.slice(0, unpacked.lastIndexOf("/"))}/${flatName(freshName())}`;
    makeSubvolume(flat, below);
    applyLayer(unpacked, flat);
    return flat;
  },

  makeRoot(directory, top, placeholders) {
    finishRoot(directory, placeholders, (aside) => makeSubvolume(aside, top));
  },

  remove: removeSnapshot,
};

/** A new subvolume, a snapshot of another one if there is one. */
function makeSubvolume(path: string, source: string | undefined): void {
  const { parent, name } = parentOf(path);
  using directory = parent;
  if (source === undefined) {
    createSubvolume(directory.number, name);
    return;
  }
  using from = open(source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  snapshotSubvolume(directory.number, name, from.number);
}
