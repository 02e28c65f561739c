/** The vfs driver: whole copies, on any file system. Content is shared where the file system can (reflinks). */
import { AT_FDCWD } from "../sys/fd.ts";
import { mkdirat, removeTree, renameat2 } from "../sys/file.ts";
import { applyLayer } from "./apply-layer.ts";
import { copyTree } from "./copy-tree.ts";
import { flatName } from "./flat.ts";
import { finishRoot, freshName } from "./flat-root.ts";
import type { Snapshotter } from "./snapshotter.ts";

export const vfs: Snapshotter = {
  name: "vfs",

  check() {
    // It needs nothing.
  },

  finishLayer(unpacked, below) {
    const flat = `${unpacked.slice(0, unpacked.lastIndexOf("/"))}/${flatName(freshName())}`;
    if (below === undefined) renameat2(AT_FDCWD, unpacked, AT_FDCWD, flat);
    else {
      mkdirat(AT_FDCWD, flat, 0o700);
      copyTree(below, flat);
      applyLayer(unpacked, flat);
    }
    return flat;
  },

  makeRoot(directory, top, placeholders) {
    finishRoot(directory, placeholders, (aside) => {
      mkdirat(AT_FDCWD, aside, 0o755);
      if (top !== undefined) copyTree(top, aside);
    });
  },

  remove: (path) => removeTree(AT_FDCWD, path),
};
