/**
 * A tree copied to the last attribute: owners, modes, times, hard links, holes, devices and extended attributes. Both
 * sides are walked below descriptors, and no link is followed.
 */
import { EOPNOTSUPP, isErrno } from "../errors/error.ts";
import { cloneContent } from "../sys/clone-file.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  open,
  openat,
} from "../sys/fd.ts";
import {
  fchmod,
  fchmodat,
  fchownat,
  fgetxattr,
  flistxattr,
  fremovexattr,
  fsetxattr,
  fstat,
  getdents64,
  lgetxattr,
  linkat,
  llistxattr,
  lsetxattr,
  mkdirat,
  mknodat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Stat,
  statx,
  symlinkat,
  utimensat,
} from "../sys/file.ts";

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/** What the copying of one tree carries along. */
export interface TreeCopy {
  readonly root: Fd;
  /** Where in the copy each file with several names is: the others become links to it. */
  readonly firsts: Map<bigint, Uint8Array>;
}

/** Copies everything in the directory `from` into the directory `to`, which is empty, and its own attributes. */
export function copyTree(from: string, to: string): void {
  using source = open(from, DIRECTORY);
  using target = open(to, DIRECTORY);
  copyDirectory({ root: target, firsts: new Map() }, source, target, new Uint8Array(0));
}

/** Copies one entry of a directory; `path` is where it will be in the copy. The name must be free there. */
export function copyEntry(copy: TreeCopy, source: Fd, target: Fd, name: Uint8Array, path: Uint8Array): void {
  const stat = statx(source.number, name);
  switch (stat.mode & S_IFMT) {
    case S_IFDIR: {
      using from = openat(source.number, name, DIRECTORY);
      mkdirat(target.number, name, 0o700);
      using to = openat(target.number, name, DIRECTORY);
      copyDirectory(copy, from, to, path);
      return;
    }
    case S_IFREG:
      if (!isLinked(copy, stat, target, name, path)) copyFile(source, target, name, stat);
      return;
    case S_IFLNK:
      if (isLinked(copy, stat, target, name, path)) return;
      symlinkat(readlinkat(source.number, name), target.number, name);
      break;
    default:
      // Sockets too: what is deleted from the tree later must have been there.
      if (isLinked(copy, stat, target, name, path)) return;
      mknodat(target.number, name, stat.mode, stat.rdevMajor, stat.rdevMinor);
  }
  fchownat(target.number, name, stat.uid, stat.gid);
  if ((stat.mode & S_IFMT) !== S_IFLNK) fchmodat(target.number, name, stat.mode & 0o7777);
  const place = insideOf(source, name);
  for (const xattr of llistxattr(place)) {
    const value = lgetxattr(place, xattr);
    if (value !== undefined) ifSupported(() => lsetxattr(insideOf(target, name), xattr, value));
  }
  utimensat(target.number, name, stat.atimeNs, stat.mtimeNs, AT_SYMLINK_NOFOLLOW);
}

function copyDirectory(copy: TreeCopy, source: Fd, target: Fd, path: Uint8Array): void {
  for (const { name } of getdents64(source.number)) copyEntry(copy, source, target, name, below(path, name));
  copyAttributes(source.number, target.number, fstat(source.number));
}

/** `path/name`. */
export function below(path: Uint8Array, name: Uint8Array): Uint8Array {
  return path.length === 0 ? name : Buffer.concat([path, Buffer.from("/"), name]);
}

function isLinked(copy: TreeCopy, stat: Stat, target: Fd, name: Uint8Array, path: Uint8Array): boolean {
  if (stat.nlink < 2) return false;
  const first = copy.firsts.get(stat.ino);
  if (first === undefined) {
    copy.firsts.set(stat.ino, path);
    return false;
  }
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  using file = openat2(copy.root.number, first, { flags: O_PATH | O_NOFOLLOW, resolve });
  linkat(file.number, "", target.number, name, AT_EMPTY_PATH);
  return true;
}

function copyFile(source: Fd, target: Fd, name: Uint8Array, stat: Stat): void {
  using from = openat(source.number, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  using to = openat(target.number, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  cloneContent(from.number, to.number, stat.size);
  copyAttributes(from.number, to.number, stat);
}

/**
 * Gives an open file or directory the owner, mode, attributes and times of another; attributes that only `to` has go.
 * Owner before mode and capabilities: chown(2) clears set-id bits and security.capability.
 */
export function copyAttributes(from: number, to: number, stat: Stat): void {
  fchownat(to, "", stat.uid, stat.gid, AT_EMPTY_PATH);
  fchmod(to, stat.mode & 0o7777);
  const wanted = flistxattr(from);
  for (const name of flistxattr(to)) if (!wanted.includes(name)) ifSupported(() => fremovexattr(to, name));
  for (const name of wanted) {
    const value = fgetxattr(from, name);
    if (value !== undefined) ifSupported(() => fsetxattr(to, name, value));
  }
  utimensat(to, "", stat.atimeNs, stat.mtimeNs, AT_EMPTY_PATH);
}

/** Attributes that this file system does not keep are left out, as when a layer is unpacked. */
function ifSupported(set: () => void): void {
  try {
    set();
  } catch (error) {
    if (!isErrno(error, EOPNOTSUPP)) throw error;
  }
}

function insideOf(directory: Fd, name: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.number}/`), name]);
}
