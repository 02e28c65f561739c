/**
 * An overlay whose layers are shown with shifted owners. overlayfs itself cannot be idmapped, but what it lies on can
 * (kernel 5.19): it then takes every owner from there, and what is written arrives on the disk unshifted.
 */
import { CtrError, EINVAL, EOVERFLOW, isErrno } from "../errors/error.ts";
import type { Mount } from "../spec/runtime.ts";
import { AT_EMPTY_PATH, AT_FDCWD, type Fd, O_DIRECTORY, O_PATH, open } from "../sys/fd.ts";
import { mkdirat } from "../sys/file.ts";
import { attachMount, mount, OPEN_TREE_CLONE, openTree } from "../sys/mount.ts";
import { asOwner, outside } from "../sys/user-namespace.ts";
import type { HostMaps } from "./host-tree.ts";
import { idMapTree } from "./id-map.ts";
import { mountOverlay } from "./mounts.ts";
import { splitLayers } from "./overlay-mount.ts";
import { ownMounts } from "./own-mounts.ts";

const LAYERS = /^(lowerdir|upperdir|workdir)=/;

/**
 * The overlay, mounted nowhere. `place` is a directory that nobody but this thread sees covered for a moment. Kernels before
 * 6.15 take only layers that are attached somewhere, so they are, in a mount namespace that is given up again; the overlay
 * keeps clones of its own.
 */
export function shiftedOverlay(place: string, spec: Mount, { user, uids, gids }: HostMaps): Fd {
  const uid = outside(uids, 0);
  const gid = outside(gids, 0);
  if (uid === undefined || gid === undefined)
    throw new CtrError("invalid", "a user namespace without root cannot have a root file system of its own");
  using _ = ownMounts();
  using opened = new DisposableStack();
  // The directories that hold the layers, each once: all of a store's are in one.
  const parents = new Map<string, { readonly name: string; readonly tree: Fd }>();
  const shifted = (path: string): string => {
    const slash = path.lastIndexOf("/");
    const directory = slash === 0 ? "/" : path.slice(0, slash);
    const known = parents.get(directory);
    const parent = known ?? { name: `${parents.size}`, tree: opened.use(cloneShifted(directory, user)) };
    if (known === undefined) parents.set(directory, parent);
    return `${place}/${parent.name}/${path.slice(slash + 1)}`;
  };
  const options = (spec.options ?? []).map((option) => {
    const [key = ""] = LAYERS.exec(option) ?? [];
    if (key === "") return option;
    const value = option.slice(key.length);
    if (key !== "lowerdir=") return key + shifted(value);
    return (
      key +
      splitLayers(value)
        .map((layer) => escapeLayer(shifted(layer)))
        .join(":")
    );
  });
  mount("tmpfs", place, "tmpfs", 0, "size=64k,mode=700");
  for (const { name, tree } of parents.values()) attachAt(`${place}/${name}`, tree);
  const root = `${place}/root`;
  mkdirat(AT_FDCWD, root, 0o700);
  try {
    // overlayfs works with the ids of who has mounted it: without one there it would be mounted read-only.
    using _owner = asOwner(uid, gid);
    using whole = mountOverlay(root, { ...spec, options });
    return openTree(whole.number, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  } catch (error) {
    if (!isErrno(error, EINVAL, EOVERFLOW)) throw error;
    const message =
      "a root file system with shifted owners needs kernel 5.19 or newer for overlayfs on idmapped layers";
    throw new CtrError("unsupported", message, { cause: error });
  }
}

function cloneShifted(directory: string, user: number): Fd {
  const tree = openTree(AT_FDCWD, directory, OPEN_TREE_CLONE);
  try {
    idMapTree(tree.number, user, false, directory);
    return tree;
  } catch (error) {
    tree.close();
    throw error;
  }
}

function attachAt(path: string, tree: Fd): void {
  mkdirat(AT_FDCWD, path, 0o700);
  using target = open(path, O_PATH | O_DIRECTORY);
  attachMount(tree.number, target.number, path);
}

function escapeLayer(path: string): string {
  return path.replace(/[\\:]/g, (character) => `\\${character}`);
}
