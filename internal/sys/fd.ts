/** Descriptors: who owns one closes it, once. Every descriptor is made close-on-exec. */
import { EINVAL, isErrno } from "../errors/error.ts";
import { check, cstr, lib, type PathBytes } from "./lib.ts";

// open(2), fcntl(2): asm-generic values; O_DIRECTORY, O_NOFOLLOW and O_LARGEFILE differ on arm64.
const isArm64 = process.arch === "arm64";
export const AT_FDCWD = -100;
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DIRECTORY = isArm64 ? 0o40000 : 0o200000;
export const O_NOFOLLOW = isArm64 ? 0o100000 : 0o400000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;
export const AT_RECURSIVE = 0x8000;

export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const F_SETPIPE_SZ = 1031;
export const F_ADD_SEALS = 1033;
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

/** An owned descriptor: closed at the end of its `using` scope unless `take`n. */
export class Fd implements Disposable {
  #number: number;

  constructor(number: number) {
    this.#number = number;
  }

  /** The descriptor's number; throws once it is closed or taken. */
  get number(): number {
    if (this.#number < 0) throw new TypeError("descriptor used after it was closed");
    return this.#number;
  }

  /** Hands the number to a new owner, who closes it. */
  take(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  [Symbol.dispose](): void {
    if (this.#number < 0) return;
    lib.ctr_close(this.#number);
    this.#number = -1;
  }

  close(): void {
    this[Symbol.dispose]();
  }
}

/** openat(2), always close-on-exec. */
export function openat(dirfd: number, path: PathBytes, flags: number, mode = 0): Fd {
  return new Fd(check("open", lib.ctr_openat(dirfd, cstr(path), flags | O_CLOEXEC, mode), path));
}

/** open(2): `openat` from the current directory. */
export function open(path: PathBytes, flags: number, mode = 0): Fd {
  return openat(AT_FDCWD, path, flags, mode);
}

/** close(2) of a bare number. */
export function close(fd: number): void {
  check("close", lib.ctr_close(fd));
}

/** pipe2(2): the reading and the writing end. */
export function pipe2(flags = 0): { readonly read: Fd; readonly write: Fd } {
  const fds = new Int32Array(2);
  check("pipe2", lib.ctr_pipe2(fds, flags | O_CLOEXEC));
  return { read: new Fd(fds[0] ?? -1), write: new Fd(fds[1] ?? -1) };
}

/** fcntl(2) with a number as its argument. */
export function fcntl(fd: number, command: number, argument = 0): number {
  return check("fcntl", lib.ctr_fcntl(fd, command, argument));
}

/** dup(2), close-on-exec. */
export function dup(fd: number): Fd {
  return new Fd(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

/** dup3(2): `target` becomes a copy, not close-on-exec; what it was is closed. */
export function dup3(fd: number, target: number): void {
  check("dup3", lib.ctr_dup3(fd, target, 0));
}

/** memfd_create(2), close-on-exec; `MFD_ALLOW_SEALING` is 2. */
export function memfdCreate(name: string, flags = 0): Fd {
  return new Fd(check("memfd_create", lib.ctr_memfd_create(cstr(name), flags | 1)));
}

const MFD_ALLOW_SEALING = 2;
const MFD_EXEC = 0x10;
const F_SEAL_ALL = 0xf;

/** A program from its base64, to be executed by this descriptor: in memory, and sealed, so that nobody can write to it. */
export function sealedProgram(name: string, base64: string): Fd {
  const fd = executableMemfd(name);
  writeAll(fd.number, Uint8Array.fromBase64(base64));
  fcntl(fd.number, F_ADD_SEALS, F_SEAL_ALL);
  return fd;
}

/** A file in memory that can be sealed, and executed also where `vm.memfd_noexec` is 1. */
export function executableMemfd(name: string): Fd {
  try {
    return memfdCreate(name, MFD_ALLOW_SEALING | MFD_EXEC);
  } catch (error) {
    // Before kernel 6.3, which made the flag, all may be.
    if (isErrno(error, EINVAL)) return memfdCreate(name, MFD_ALLOW_SEALING);
    throw error;
  }
}

/** flock(2). Blocks unless `LOCK_NB` is given (then EAGAIN). */
export function flock(fd: number, operation: number): void {
  check("flock", lib.ctr_flock(fd, operation));
}

/** read(2): the number of bytes, 0 at the end. */
export function read(fd: number, buffer: Uint8Array): number {
  return check("read", lib.ctr_read(fd, buffer, buffer.length));
}

/** write(2): the number of bytes, perhaps fewer than given. `path` is named in an error. */
export function write(fd: number, bytes: Uint8Array, path?: string): number {
  return check("write", lib.ctr_write(fd, bytes, bytes.length), path);
}

/** write(2) until all is written. The descriptor must be blocking. */
export function writeAll(fd: number, bytes: Uint8Array, path?: string): void {
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(write(fd, rest, path));
}

/** writev(2) of two parts: a record's header and its bytes, without copying them together. */
export function writePair(fd: number, first: Uint8Array, second: Uint8Array): void {
  const written = check("write", lib.ctr_write_pair(fd, first, first.length, second, second.length));
  if (written >= first.length + second.length) return;
  if (written < first.length) writeAll(fd, first.subarray(written));
  writeAll(fd, second.subarray(Math.max(0, written - first.length)));
}

/** pread(2). */
export function pread(fd: number, buffer: Uint8Array, offset: number): number {
  return check("pread", lib.ctr_pread(fd, buffer, buffer.length, offset));
}

/** pwrite(2). */
export function pwrite(fd: number, bytes: Uint8Array, offset: number): number {
  return check("pwrite", lib.ctr_pwrite(fd, bytes, bytes.length, offset));
}

/** lseek(2): `SEEK_SET` 0, `SEEK_CUR` 1, `SEEK_END` 2, `SEEK_DATA` 3, `SEEK_HOLE` 4. */
export function lseek(fd: number, offset: number, whence: number): number {
  return check("lseek", lib.ctr_lseek(fd, offset, whence));
}

/** ftruncate(2). */
export function ftruncate(fd: number, size: number): void {
  check("ftruncate", lib.ctr_ftruncate(fd, size));
}

/** fsync(2). */
export function fsync(fd: number): void {
  check("fsync", lib.ctr_fsync(fd));
}

/** syncfs(2): everything of the file system that holds the descriptor. */
export function syncfs(fd: number): void {
  check("syncfs", lib.ctr_syncfs(fd));
}

export const POLLIN = 1;
export const POLLPRI = 2;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;

/** poll(2) of several, without a limit: for each whether one of the events, or its end, is there. */
export function pollAny(fds: readonly number[], events: number): readonly boolean[] {
  const list = new DataView(new ArrayBuffer(8 * fds.length));
  for (const [at, fd] of fds.entries()) {
    list.setInt32(8 * at, fd, true);
    list.setInt16(8 * at + 4, events, true);
  }
  check("poll", lib.ctr_poll(new Uint8Array(list.buffer), fds.length, -1));
  return fds.map((_, at) => list.getInt16(8 * at + 6, true) !== 0);
}

/** poll(2) of one descriptor: the events that happened, 0 after `timeoutMs` (-1 waits for ever). */
export function poll(fd: number, events: number, timeoutMs: number): number {
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, events, true);
  check("poll", lib.ctr_poll(new Uint8Array(pollfd.buffer), 1, timeoutMs));
  return pollfd.getInt16(6, true);
}
