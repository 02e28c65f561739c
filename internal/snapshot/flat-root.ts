/** The root file system of a container as a whole tree: made aside and renamed, so that it is there or not. */
import { ENOENT, isErrno } from "../errors/error.ts";
import {
  AT_FDCWD,
  type Fd,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  open,
  openat,
} from "../sys/fd.ts";
import { exists, fstat, getdents64, renameat2, S_IFDIR, S_IFMT, statx, utimensat } from "../sys/file.ts";
import { below, copyEntry, type TreeCopy } from "./copy-tree.ts";
import { FLAT_MADE, FLAT_ROOT } from "./flat.ts";
import { removeSnapshot } from "./remove-snapshot.ts";

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
const ASIDE = "flat-aside";

/** A name nobody else takes: 128 random bits. */
export function freshName(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex();
}

/** Has `make` make the tree aside, adds the engine's own places, and gives it its name. */
export function finishRoot(directory: string, placeholders: string, make: (aside: string) => void): void {
  const aside = `${directory}/${ASIDE}`;
  removeSnapshot(aside); // of a command that was killed
  make(aside);
  addPlaceholders(placeholders, aside);
  mark(`${directory}/${FLAT_MADE}`, statx(AT_FDCWD, aside).ctimeNs);
  renameat2(AT_FDCWD, aside, AT_FDCWD, `${directory}/${FLAT_ROOT}`);
}

/**
 * Makes the mark later than everything in the tree, whose root was touched last, and earlier than anything a container
 * does. The kernel's clock for ctime moves on every few milliseconds, so the next tick is waited for.
 */
function mark(path: string, lastNs: bigint): void {
  using file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  while (fstat(file.number).ctimeNs <= lastNs) utimensat(AT_FDCWD, path, undefined, BigInt(Date.now()) * 1_000_000n);
}

/** When a container's tree was whole: what has an earlier ctime was never touched. 0 if that is not known. */
export function madeAt(root: string): bigint {
  try {
    return statx(AT_FDCWD, `${root.slice(0, root.lastIndexOf("/"))}/${FLAT_MADE}`).ctimeNs;
  } catch (error) {
    if (isErrno(error, ENOENT)) return 0n;
    throw error;
  }
}

/** Whatever the image does not have itself; its directories keep their times. */
function addPlaceholders(placeholders: string, tree: string): void {
  using from = open(placeholders, DIRECTORY);
  using to = open(tree, DIRECTORY);
  addMissing({ root: to, firsts: new Map() }, from, to, new Uint8Array(0));
}

function addMissing(copy: TreeCopy, from: Fd, to: Fd, path: Uint8Array): void {
  const { atimeNs, mtimeNs } = fstat(to.number);
  for (const { name } of getdents64(from.number)) {
    if (!exists(to.number, name)) copyEntry(copy, from, to, name, below(path, name));
    else if (isDirectory(from, name) && isDirectory(to, name)) {
      using child = openat(from.number, name, DIRECTORY);
      using target = openat(to.number, name, DIRECTORY);
      addMissing(copy, child, target, below(path, name));
    }
  }
  utimensat(to.number, ".", atimeNs, mtimeNs);
}

function isDirectory(directory: Fd, name: Uint8Array): boolean {
  return (statx(directory.number, name).mode & S_IFMT) === S_IFDIR;
}
