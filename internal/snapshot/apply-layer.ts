/** A layer in overlayfs' form carried out on a whole tree: what it hides is removed, what it brings is moved in. */
import { EXDEV, isErrno } from "../errors/error.ts";
import { type Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, open, openat } from "../sys/fd.ts";
import { exists, fstat, getdents64, mkdirat, removeTree, renameat2, S_IFDIR, S_IFMT, statx } from "../sys/file.ts";
import { below, copyAttributes, copyEntry, type TreeCopy } from "./copy-tree.ts";
import { clearOpaque, isOpaque, isWhiteout } from "./overlay.ts";

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/**
 * Applies the layer in the directory `layer` to the tree in `tree`. What can be moved is moved (so `layer` is used up);
 * across subvolumes it is copied. The marks of overlayfs stay behind.
 */
export function applyLayer(layer: string, tree: string): void {
  using from = open(layer, DIRECTORY);
  using to = open(tree, DIRECTORY);
  applyDirectory({ root: to, firsts: new Map() }, from, to, new Uint8Array(0));
}

function applyDirectory(copy: TreeCopy, from: Fd, to: Fd, path: Uint8Array): void {
  // Before anything is moved out of it: that changes its times.
  const stat = fstat(from.number);
  for (const { name } of getdents64(from.number)) {
    const entry = statx(from.number, name);
    if (isWhiteout(entry)) {
      removeTree(to.number, name);
      continue;
    }
    if ((entry.mode & S_IFMT) !== S_IFDIR) {
      removeTree(to.number, name);
      moveOrCopy(copy, from, to, name, below(path, name));
      continue;
    }
    using child = openat(from.number, name, DIRECTORY);
    const isMerged = isDirectory(to, name) && !isOpaque(child.number);
    if (!isMerged) removeTree(to.number, name);
    if (!isMerged) mkdirat(to.number, name, 0o700);
    using target = openat(to.number, name, DIRECTORY);
    applyDirectory(copy, child, target, below(path, name));
  }
  copyAttributes(from.number, to.number, stat);
  clearOpaque(to.number);
}

function isDirectory(directory: Fd, name: Uint8Array): boolean {
  return exists(directory.number, name) && (statx(directory.number, name).mode & S_IFMT) === S_IFDIR;
}

function moveOrCopy(copy: TreeCopy, from: Fd, to: Fd, name: Uint8Array, path: Uint8Array): void {
  try {
    renameat2(from.number, name, to.number, name);
  } catch (error) {
    if (!isErrno(error, EXDEV)) throw error;
    copyEntry(copy, from, to, name, path);
  }
}
