/** Names in a file system: stat, make, link, remove, attributes. All relative to a directory descriptor. */
import { EEXIST, EINVAL, ELOOP, ENODATA, ENOENT, ENOTDIR, EOPNOTSUPP, ERANGE, isErrno } from "../errors/error.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  Fd,
  lseek,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  open,
  openat,
  read,
  writeAll,
} from "./fd.ts";
import { check, checkUnless, cstr, lib, type PathBytes } from "./lib.ts";

export const RESOLVE_NO_XDEV = 1;
export const RESOLVE_NO_MAGICLINKS = 2;
export const RESOLVE_NO_SYMLINKS = 4;
export const RESOLVE_BENEATH = 8;
export const RESOLVE_IN_ROOT = 16;

/** openat2(2), kernel 5.6; always close-on-exec. */
export function openat2(dirfd: number, path: PathBytes, how: { flags: number; mode?: number; resolve: number }): Fd {
  return new Fd(check("openat2", lib.ctr_openat2(dirfd, cstr(path), openHow(how), 24), path));
}

/** The same, or undefined for what is not there (ENOENT). */
export function tryOpenat2(
  dirfd: number,
  path: PathBytes,
  how: { flags: number; mode?: number; resolve: number },
): Fd | undefined {
  const fd = checkUnless([ENOENT], "openat2", lib.ctr_openat2(dirfd, cstr(path), openHow(how), 24), path);
  return fd === undefined ? undefined : new Fd(fd);
}

function openHow(how: { flags: number; mode?: number; resolve: number }): BigUint64Array {
  return new BigUint64Array([BigInt(how.flags | O_CLOEXEC), BigInt(how.mode ?? 0), BigInt(how.resolve)]);
}

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

/** What statx(2) tells. `mode` holds the kind too (`S_IFMT`); `mtimeNs` and `ctimeNs` are nanoseconds since 1970. */
export interface Stat {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  readonly size: number;
  /** 512-byte blocks in use. */
  readonly blocks: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** Of a device node. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Of the file system. */
  readonly devMajor: number;
  readonly devMinor: number;
  /** A mount point (`STATX_ATTR_MOUNT_ROOT`, kernel 5.8). */
  readonly isMountRoot: boolean;
}

const STATX_BASIC_STATS = 0x7ff;
const statxBuffer = new Uint8Array(256);
const statxView = new DataView(statxBuffer.buffer);

/** statx(2); a link itself, not its target, unless `flags` is 0. */
export function statx(dirfd: number, path: PathBytes, flags = AT_SYMLINK_NOFOLLOW): Stat {
  check("stat", lib.ctr_statx(dirfd, cstr(path), flags, STATX_BASIC_STATS, statxBuffer), path);
  const time = (at: number) =>
    statxView.getBigInt64(at, true) * 1_000_000_000n + BigInt(statxView.getUint32(at + 8, true));
  return {
    nlink: statxView.getUint32(16, true),
    uid: statxView.getUint32(20, true),
    gid: statxView.getUint32(24, true),
    mode: statxView.getUint16(28, true),
    ino: statxView.getBigUint64(32, true),
    size: Number(statxView.getBigUint64(40, true)),
    blocks: Number(statxView.getBigUint64(48, true)),
    atimeNs: time(64),
    ctimeNs: time(96),
    mtimeNs: time(112),
    rdevMajor: statxView.getUint32(128, true),
    rdevMinor: statxView.getUint32(132, true),
    devMajor: statxView.getUint32(136, true),
    devMinor: statxView.getUint32(140, true),
    isMountRoot: (statxView.getBigUint64(8, true) & 0x2000n) !== 0n,
  };
}

/** statx(2) of an open descriptor, `O_PATH` ones too. */
export function fstat(fd: number): Stat {
  return statx(fd, "", AT_EMPTY_PATH);
}

/** True if the name exists (a dangling link does). */
export function exists(dirfd: number, path: PathBytes): boolean {
  return Number(lib.ctr_statx(dirfd, cstr(path), AT_SYMLINK_NOFOLLOW, 0, statxBuffer)) === 0;
}

/** True if there is anything in a directory; false if there is not, or no directory. */
export function hasEntries(path: PathBytes): boolean {
  return check("open", lib.ctr_has_entries(cstr(path)), path) > 0;
}

/** statfs(2) */
export const PROC_SUPER_MAGIC = 0x9fa0;

/** f_type of fstatfs(2): `PROC_SUPER_MAGIC` and its like, see statfs(2). */
export function fstatfsType(fd: number): number {
  const buffer = new BigInt64Array(16);
  check("fstatfs", lib.ctr_fstatfs(fd, buffer));
  return Number((buffer[0] ?? 0n) & 0xffffffffn);
}

/** statfs(2): the type and the space, in bytes. */
export function statfs(path: PathBytes): { type: number; size: number; available: number } {
  const buffer = new BigInt64Array(16);
  check("statfs", lib.ctr_statfs(cstr(path), buffer), path);
  const [type = 0n, blockSize = 0n, blocks = 0n, , availableBlocks = 0n] = buffer;
  return {
    type: Number(type & 0xffffffffn),
    size: Number(blocks * blockSize),
    available: Number(availableBlocks * blockSize),
  };
}

/** mkdirat(2); the umask applies. */
export function mkdirat(dirfd: number, path: PathBytes, mode: number): void {
  check("mkdir", lib.ctr_mkdirat(dirfd, cstr(path), mode), path);
}

/** mkdir -p of a trusted host path; directories that exist are left as they are. */
export function mkdirAll(path: string, mode = 0o700): void {
  const result = Number(lib.ctr_mkdirat(AT_FDCWD, cstr(path), mode));
  if (result >= 0 || result === -EEXIST) return;
  let made = "";
  for (const part of path.split("/")) {
    made += part === "" ? "" : `/${part}`;
    if (made === "") continue;
    try {
      mkdirat(AT_FDCWD, path.startsWith("/") ? made : made.slice(1), mode);
    } catch (error) {
      if (!isErrno(error, EEXIST)) throw error;
    }
  }
}

/** mknodat(2); `mode` with its kind. */
export function mknodat(dirfd: number, path: PathBytes, mode: number, major = 0, minor = 0): void {
  check("mknod", lib.ctr_mknodat(dirfd, cstr(path), mode, makedev(major, minor)), path);
}

/** makedev(3), glibc's 64-bit form. */
export function makedev(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return (b & 0xffn) | ((a & 0xfffn) << 8n) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n);
}

/** symlinkat(2). */
export function symlinkat(target: PathBytes, dirfd: number, path: PathBytes): void {
  check("symlink", lib.ctr_symlinkat(cstr(target), dirfd, cstr(path)), path);
}

/** linkat(2). */
export function linkat(fromDirfd: number, from: PathBytes, toDirfd: number, to: PathBytes, flags = 0): void {
  check("link", lib.ctr_linkat(fromDirfd, cstr(from), toDirfd, cstr(to), flags), to);
}

/** unlinkat(2); `AT_REMOVEDIR` for a directory. */
export function unlinkat(dirfd: number, path: PathBytes, flags = 0): void {
  check("unlink", lib.ctr_unlinkat(dirfd, cstr(path), flags), path);
}

/** The same; false for what is not there (ENOENT). */
export function unlinkIfThere(path: PathBytes, flags = 0): boolean {
  return checkUnless([ENOENT], "unlink", lib.ctr_unlinkat(AT_FDCWD, cstr(path), flags), path) !== undefined;
}

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** renameat2(2), kernel 3.15. */
export function renameat2(fromDirfd: number, from: PathBytes, toDirfd: number, to: PathBytes, flags = 0): void {
  check("rename", lib.ctr_renameat2(fromDirfd, cstr(from), toDirfd, cstr(to), flags), from);
}

/** fallocate(2) with mode 0: room from the start of the file on. */
export function fallocate(fd: number, offset: number, size: number): void {
  check("fallocate", lib.ctr_fallocate(fd, 0, offset, size));
}

/** readlinkat(2), the raw bytes; with an empty path, of an `O_PATH` descriptor of the link. */
export function readlinkat(dirfd: number, path: PathBytes): Uint8Array {
  const buffer = new Uint8Array(4096);
  return buffer.slice(0, check("readlink", lib.ctr_readlinkat(dirfd, cstr(path), buffer, buffer.length), path));
}

/** The same, of a path; undefined for what is not there (ENOENT), or no link (EINVAL). */
export function tryReadlink(path: PathBytes): Uint8Array | undefined {
  const buffer = new Uint8Array(4096);
  const result = lib.ctr_readlinkat(AT_FDCWD, cstr(path), buffer, buffer.length);
  const size = checkUnless([ENOENT, EINVAL], "readlink", result, path);
  return size === undefined ? undefined : buffer.slice(0, size);
}

/** fchmod(2); not for `O_PATH` descriptors. */
export function fchmod(fd: number, mode: number): void {
  check("chmod", lib.ctr_fchmod(fd, mode));
}

/** fchmodat(2): follows links. */
export function fchmodat(dirfd: number, path: PathBytes, mode: number): void {
  check("chmod", lib.ctr_fchmodat(dirfd, cstr(path), mode), path);
}

/** fchown(2). */
export function fchown(fd: number, uid: number, gid: number): void {
  check("fchown", lib.ctr_fchown(fd, uid, gid));
}

/** fchownat(2); a link itself by default. With an empty path and `AT_EMPTY_PATH`, the descriptor's own file. */
export function fchownat(dirfd: number, path: PathBytes, uid: number, gid: number, flags = AT_SYMLINK_NOFOLLOW): void {
  check("chown", lib.ctr_fchownat(dirfd, cstr(path), uid, gid, flags), path);
}

/** utimensat(2), nanoseconds since 1970; a link itself by default. `undefined` leaves a time alone. */
export function utimensat(
  dirfd: number,
  path: PathBytes,
  atimeNs: bigint | undefined,
  mtimeNs: bigint | undefined,
  flags = AT_SYMLINK_NOFOLLOW,
): void {
  const times = new BigInt64Array(4);
  times.set(timespec(atimeNs), 0);
  times.set(timespec(mtimeNs), 2);
  check("utimensat", lib.ctr_utimensat(dirfd, cstr(path), times, flags), path);
}

const UTIME_OMIT = 0x3ffffffen;

function timespec(ns: bigint | undefined): [bigint, bigint] {
  if (ns === undefined) return [0n, UTIME_OMIT];
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return [(ns - rest) / 1_000_000_000n, rest];
}

/** fsetxattr(2); not for `O_PATH` descriptors. */
export function fsetxattr(fd: number, name: PathBytes, value: Uint8Array): void {
  check("setxattr", lib.ctr_fsetxattr(fd, cstr(name), value, value.length, 0), name);
}

/** fremovexattr(2); ENODATA if there is none. */
export function fremovexattr(fd: number, name: PathBytes): void {
  check("removexattr", lib.ctr_fremovexattr(fd, cstr(name)), name);
}

/** lsetxattr(2): for what cannot be opened, through `/proc/self/fd/N/name`. */
export function lsetxattr(path: PathBytes, name: PathBytes, value: Uint8Array): void {
  check("setxattr", lib.ctr_lsetxattr(cstr(path), cstr(name), value, value.length, 0), path);
}

/** fgetxattr(2), or undefined where there is none (ENODATA, EOPNOTSUPP). */
export function fgetxattr(fd: number, name: PathBytes): Uint8Array | undefined {
  return grow((buffer) => lib.ctr_fgetxattr(fd, cstr(name), buffer, buffer.length), "getxattr");
}

/** lgetxattr(2), or undefined where there is none. */
export function lgetxattr(path: PathBytes, name: PathBytes): Uint8Array | undefined {
  return grow((buffer) => lib.ctr_lgetxattr(cstr(path), cstr(name), buffer, buffer.length), "getxattr");
}

/** llistxattr(2): the names; empty where the file system keeps none. */
export function llistxattr(path: PathBytes): string[] {
  const names = grow((buffer) => lib.ctr_llistxattr(cstr(path), buffer, buffer.length), "listxattr");
  return names === undefined ? [] : new TextDecoder().decode(names).split("\0").slice(0, -1);
}

/** flistxattr(2): the names; empty where the file system keeps none. */
export function flistxattr(fd: number): string[] {
  const names = grow((buffer) => lib.ctr_flistxattr(fd, buffer, buffer.length), "listxattr");
  return names === undefined ? [] : new TextDecoder().decode(names).split("\0").slice(0, -1);
}

function grow(call: (buffer: Uint8Array) => number | bigint, syscall: string): Uint8Array | undefined {
  for (let size = 256; ; size = 65536) {
    const buffer = new Uint8Array(size);
    const result = Number(call(buffer));
    if (result >= 0) return buffer.slice(0, result);
    if (result === -ENODATA || result === -EOPNOTSUPP) return undefined;
    if (result !== -ERANGE || size === 65536) check(syscall, result);
  }
}

/** One name of a directory; `kind` is the `S_IF…` bits, 0 where the file system does not tell. */
export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly kind: number;
}

/** getdents64(2) to the end, from the descriptor's position; without `.` and `..`, in the file system's order. */
export function getdents64(fd: number): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const buffer = new Uint8Array(65536);
  const view = new DataView(buffer.buffer);
  for (;;) {
    const size = check("getdents64", lib.ctr_getdents64(fd, buffer, buffer.length));
    if (size === 0) return entries;
    for (let at = 0; at < size; at += view.getUint16(at + 16, true)) {
      const end = buffer.indexOf(0, at + 19);
      const name = buffer.slice(at + 19, end);
      const isDot = name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
      if (!isDot) entries.push({ name, kind: view.getUint8(at + 18) << 12 });
    }
  }
}

/** A whole file of at most `maxBytes`; a longer one throws EFBIG-like. For small files of our own and of the kernel. */
export function readFile(path: PathBytes, maxBytes = 1 << 20, dirfd = AT_FDCWD): Uint8Array {
  using fd = openat(dirfd, path, O_RDONLY);
  return readFd(fd.number, maxBytes);
}

/** Everything up to the end of a descriptor, at most `maxBytes`. */
export function readFd(fd: number, maxBytes = 1 << 20): Uint8Array {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    // Most files are small ones of procfs: a large buffer costs more than reading them.
    const chunk = new Uint8Array(Math.min(chunks.length === 0 ? 4096 : 65536, maxBytes - total + 1));
    const size = read(fd, chunk);
    if (size === 0) break;
    total += size;
    if (total > maxBytes) throw new RangeError(`file is larger than ${maxBytes} bytes`);
    chunks.push(chunk.subarray(0, size));
  }
  if (chunks.length === 1 && chunks[0]) return chunks[0];
  const whole = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** A whole file as text. */
export function readText(path: PathBytes, maxBytes = 1 << 20, dirfd = AT_FDCWD): string {
  return new TextDecoder().decode(readFile(path, maxBytes, dirfd));
}

/** As `readText`; undefined for a file that is not there. */
export function readTextIfThere(path: PathBytes): string | undefined {
  const number = checkUnless([ENOENT], "open", lib.ctr_openat(AT_FDCWD, cstr(path), O_RDONLY | O_CLOEXEC, 0), path);
  if (number === undefined) return undefined;
  using fd = new Fd(number);
  return new TextDecoder().decode(readFd(fd.number));
}

/** Writes into an existing file, such as one of procfs or a cgroup, in one write(2). */
export function writeInto(path: PathBytes, content: string | Uint8Array, dirfd = AT_FDCWD): void {
  using fd = openat(dirfd, path, O_WRONLY);
  writeAll(fd.number, typeof content === "string" ? new TextEncoder().encode(content) : content);
}

/** A file that must survive: written aside, synced, renamed over `path`. */
export function replaceFile(path: string, content: string | Uint8Array, mode = 0o600): void {
  const aside = `${path}.${process.pid}.tmp`;
  try {
    using fd = open(aside, O_WRONLY | O_CREAT | O_EXCL, mode);
    writeAll(fd.number, typeof content === "string" ? new TextEncoder().encode(content) : content, path);
    check("fsync", lib.ctr_fsync(fd.number), path);
  } catch (error) {
    // A full disk must not keep half of it; one that somebody else is writing stays.
    if (!isErrno(error, EEXIST)) unlinkQuietly(AT_FDCWD, aside, 0);
    throw error;
  }
  renameat2(AT_FDCWD, aside, AT_FDCWD, path);
}

/**
 * Removes a directory tree below descriptors, never through a link and never into another mount; `path` itself may lead
 * through both. Missing is fine, and so are others who remove it at the
 * same time. However deep the tree is, few descriptors are open at a time.
 */
export function removeTree(dirfd: number, path: PathBytes): void {
  const bytes = typeof path === "string" ? new TextEncoder().encode(path) : path;
  const slash = bytes.lastIndexOf(0x2f);
  if (slash < 0) {
    removeBelow(dirfd, bytes, undefined, 0);
    return;
  }
  const parent = openDirectory(dirfd, slash === 0 ? "/" : bytes.subarray(0, slash), 0);
  if (parent === undefined) return;
  using opened = parent;
  removeBelow(opened.number, bytes.subarray(slash + 1), undefined, 0);
}

const MAX_OPEN_DEPTH = 64;

/** `top` is the tree's own directory: what lies too deep is moved up into it, and its turn comes there. */
function removeBelow(dirfd: number, name: PathBytes, top: Fd | undefined, depth: number): void {
  using directory = openDirectory(dirfd, name, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  if (directory !== undefined) {
    let entries = entriesLeft(directory);
    while (entries.length > 0) {
      for (const entry of entries) {
        const mayBeDirectory = entry.kind === S_IFDIR || entry.kind === 0;
        if (!mayBeDirectory) unlinkQuietly(directory.number, entry.name, 0);
        else if (top !== undefined && depth >= MAX_OPEN_DEPTH) moveUp(directory, entry.name, top);
        else removeBelow(directory.number, entry.name, top ?? directory, depth + 1);
      }
      if (top !== undefined) break;
      lseek(directory.number, 0, 0);
      entries = entriesLeft(directory);
    }
  }
  unlinkQuietly(dirfd, name, directory === undefined ? 0 : AT_REMOVEDIR);
}

/** Of a directory that another process has removed since it was opened, the kernel says ENOENT: nothing is left. */
function entriesLeft(directory: Fd): DirectoryEntry[] {
  try {
    return getdents64(directory.number);
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
    return [];
  }
}

function moveUp(from: Fd, name: Uint8Array, top: Fd): void {
  try {
    renameat2(from.number, name, top.number, `.removing-${crypto.randomUUID()}`);
  } catch (error) {
    // Another process was faster.
    if (!isErrno(error, ENOENT)) throw error;
  }
}

function openDirectory(dirfd: number, path: PathBytes, resolve: number): Fd | undefined {
  const how = new BigUint64Array([BigInt(O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0n, BigInt(resolve)]);
  const result = Number(lib.ctr_openat2(dirfd, cstr(path), how, 24));
  if (result >= 0) return new Fd(result);
  if (-result !== ENOENT && -result !== ENOTDIR && -result !== ELOOP) check("open", result, path);
  return undefined;
}

function unlinkQuietly(dirfd: number, path: PathBytes, flags: number): void {
  const result = Number(lib.ctr_unlinkat(dirfd, cstr(path), flags));
  if (result < 0 && result !== -2) check("unlink", result, path);
}
