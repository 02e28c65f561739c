/**
 * Copy-up: an empty volume takes what the image has at its place, with owners, modes, times, extended attributes and,
 * within a directory, hard links. Happens inside init, before anything of the container runs; both trees are walked by descriptors, and no
 * link is followed.
 */
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  type Fd,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  open,
  openat,
  read,
  writeAll,
} from "../sys/fd.ts";
import {
  type DirectoryEntry,
  fchmod,
  fchownat,
  fgetxattr,
  flistxattr,
  fsetxattr,
  fstat,
  getdents64,
  linkat,
  mkdirat,
  mknodat,
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
import { tryOpenInRoot } from "./resolve.ts";

/** Fills the volume at `source` (a host directory) from `destination` in the root, if the volume is empty. */
export function copyUp(root: number, destination: string, source: string): void {
  using from = tryOpenInRoot(root, destination, O_RDONLY | O_DIRECTORY);
  if (from === undefined) return;
  using to = open(source, O_RDONLY | O_DIRECTORY);
  if (getdents64(to.number).length > 0) return;
  copyDirectory(from, to, new Map());
}

/** Inodes with several names that were copied already: inode → where the first name is. */
type Linked = Map<bigint, { readonly directory: Fd; readonly name: Uint8Array }>;

function copyDirectory(from: Fd, to: Fd, linked: Linked): void {
  for (const entry of getdents64(from.number)) copyEntry(from, to, entry, linked);
  copyAttributes(from, to, fstat(from.number));
}

function copyEntry(from: Fd, to: Fd, { name }: DirectoryEntry, linked: Linked): void {
  const stat = statx(from.number, name);
  const kind = stat.mode & S_IFMT;
  const first = stat.nlink > 1 && kind !== S_IFDIR ? linked.get(stat.ino) : undefined;
  if (first !== undefined) {
    linkat(first.directory.number, first.name, to.number, name);
    return;
  }
  if (kind === S_IFDIR) {
    mkdirat(to.number, name, 0o700);
    using source = openat(from.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    using target = openat(to.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    // Names of one inode in different directories become files of their own: the first one's directory is closed by then.
    copyDirectory(source, target, new Map());
    return;
  }
  if (kind === S_IFREG) {
    using source = openat(from.number, name, O_RDONLY | O_NOFOLLOW);
    using target = openat(to.number, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    copyContent(source, target);
    copyAttributes(source, target, stat);
  } else {
    if (kind === S_IFLNK) symlinkat(readlinkat(from.number, name), to.number, name);
    else mknodat(to.number, name, stat.mode, stat.rdevMajor, stat.rdevMinor);
    fchownat(to.number, name, stat.uid, stat.gid);
    utimensat(to.number, name, stat.atimeNs, stat.mtimeNs);
  }
  if (stat.nlink > 1) linked.set(stat.ino, { directory: to, name });
}

function copyContent(from: Fd, to: Fd): void {
  const buffer = new Uint8Array(1 << 16);
  for (let size = read(from.number, buffer); size > 0; size = read(from.number, buffer)) {
    writeAll(to.number, buffer.subarray(0, size));
  }
}

/** Owner before mode (chown clears setuid), times last. */
function copyAttributes(from: Fd, to: Fd, stat: Stat): void {
  fchownat(to.number, "", stat.uid, stat.gid, AT_EMPTY_PATH);
  for (const name of flistxattr(from.number)) {
    const value = name.startsWith("trusted.overlay.") ? undefined : fgetxattr(from.number, name);
    if (value !== undefined) fsetxattr(to.number, name, value);
  }
  fchmod(to.number, stat.mode & 0o7777);
  utimensat(AT_FDCWD, `/proc/self/fd/${to.number}`, stat.atimeNs, stat.mtimeNs, 0);
}
