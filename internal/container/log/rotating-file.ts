/**
 * The file a log is written to, and those it was before: `path`, `path.1` (the newest before it), `path.2` …, compressed
 * ones with the compression's suffix. Names change only under an exclusive lock on the directory, which dies with its
 * holder; a reader takes it shared while it opens what there is (segments.ts).
 */
import { CtrError, EAGAIN, ENOENT, isErrno, SyscallError } from "../../errors/error.ts";
import {
  AT_FDCWD,
  type Fd,
  flock,
  ftruncate,
  LOCK_EX,
  LOCK_NB,
  lseek,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  open,
  pread,
  writeAll,
  writePair,
} from "../../sys/fd.ts";
import { fstat, renameat2, statx, unlinkat, utimensat } from "../../sys/file.ts";
import { type Compression, compressFrame, FRAME_TEXT_BYTES, SUFFIX } from "./compressed.ts";

/** When a file is full, how many are kept, and how the older ones are. */
export interface Rotation {
  /** Bytes; Infinity for a file that is never full. */
  readonly maxBytes: number;
  /** With the one that is written. */
  readonly maxFiles: number;
  readonly compression?: Compression;
}

export const NO_ROTATION: Rotation = { maxBytes: Number.POSITIVE_INFINITY, maxFiles: 1 };

const SEEK_END = 2;
/** Files smaller than this would be made faster than they are found. */
const LEAST_BYTES = 1024;
/** Turns of the event loop in which a compressed file may take its name. */
const MAX_TRIES = 10_000;
const NOTHING = new Uint8Array(0);

/** Opens (or makes, 0600) a file for appending. */
export function openForAppend(path: string): Fd {
  return open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
}

export class RotatingFile {
  readonly #path: string;
  readonly #rotation: Rotation;
  #fd: Fd;
  #size: number;
  /** Full files on their way to being compressed, one after the other. */
  #compressing: Promise<void> = Promise.resolve();
  #waiting = 0;
  #isClosed = false;

  /** Takes over a descriptor that `openForAppend` gave. */
  constructor(path: string, fd: Fd, rotation: Rotation) {
    this.#path = path;
    this.#rotation = { ...rotation, maxBytes: Math.max(LEAST_BYTES, rotation.maxBytes) };
    this.#fd = fd;
    this.#size = lseek(fd.number, 0, SEEK_END);
    // Left by a supervisor that was killed.
    if (rotation.compression !== undefined) removeIfThere(`${aside(path)}${SUFFIX[rotation.compression]}`);
  }

  /** Of the file that is written, in bytes. */
  get size(): number {
    return this.#size;
  }

  get maxBytes(): number {
    return this.#rotation.maxBytes;
  }

  /** Appends both parts, or nothing: throws what write(2) says (a full disk) and leaves no half record. */
  write(first: Uint8Array, second: Uint8Array = NOTHING): void {
    try {
      writePair(this.#fd.number, first, second);
      this.#size += first.length + second.length;
    } catch (error) {
      ftruncate(this.#fd.number, this.#size);
      throw error;
    }
  }

  /**
   * Goes on in a new file. False while somebody opens the files, or where the new one cannot be made (a full disk): then
   * it goes on in this one, and the caller asks again later.
   */
  rotate(): boolean {
    using directory = open(directoryOf(this.#path), O_RDONLY | O_DIRECTORY);
    if (!tryLock(directory.number)) return false;
    let next: Fd;
    try {
      next = open(aside(this.#path), O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    } catch (error) {
      if (error instanceof SyscallError) return false;
      throw error;
    }
    const { maxFiles, compression } = this.#rotation;
    shift(this.#path, maxFiles, compression);
    renameat2(AT_FDCWD, aside(this.#path), AT_FDCWD, this.#path);
    const full = this.#fd;
    this.#fd = next;
    this.#size = 0;
    if (compression === undefined || maxFiles < 2) full.close();
    else {
      this.#waiting++;
      this.#compressing = this.#compressing
        .then(() => this.#compress(full, compression))
        .finally(() => this.#waiting--);
    }
    return true;
  }

  /** Compresses a file that is full, a frame between two turns of the event loop, and puts it in the place of the plain one. */
  async #compress(full: Fd, compression: Compression): Promise<void> {
    using source = full;
    if (this.#isClosed) return;
    const target = `${aside(this.#path)}${SUFFIX[compression]}`;
    const { ino, mtimeNs } = fstat(source.number);
    try {
      if (placeOf(this.#path, ino, this.#rotation.maxFiles) === undefined) return;
      using made = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
      const buffer = new Uint8Array(FRAME_TEXT_BYTES);
      for (let offset = 0; ; ) {
        const size = pread(source.number, buffer, offset);
        if (size === 0) break;
        writeAll(made.number, compressFrame(compression, buffer.subarray(0, size), ino));
        offset += size;
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#isClosed) return removeIfThere(target);
      }
      utimensat(AT_FDCWD, target, undefined, mtimeNs);
      using directory = open(directoryOf(this.#path), O_RDONLY | O_DIRECTORY);
      // A reader holds it while it opens the files; one that was stopped right then may hold it for long.
      for (let tries = 1; !tryLock(directory.number); tries++) {
        if (tries === MAX_TRIES || this.#isClosed) return removeIfThere(target);
        await new Promise((resolve) => setImmediate(resolve));
      }
      // It may have moved on, or be gone, since the work began.
      const place = placeOf(this.#path, ino, this.#rotation.maxFiles);
      if (place === undefined) return removeIfThere(target);
      renameat2(AT_FDCWD, target, AT_FDCWD, `${place}${SUFFIX[compression]}`);
      unlinkat(AT_FDCWD, place);
    } catch (error) {
      // A full disk: the file stays as it was, which is as good to every reader.
      if (!(error instanceof SyscallError)) throw error;
      removeIfThere(target);
    }
  }

  /** Resolves when what is being compressed now is. */
  get settled(): Promise<void> {
    return this.#compressing;
  }

  /** True while files are being compressed. */
  get isBusy(): boolean {
    return this.#waiting > 0;
  }

  /** What is not compressed by now stays as it is, which is as good to every reader. */
  close(): void {
    this.#isClosed = true;
    this.#fd.close();
  }
}

/** True when nobody opens the files now, and nobody will until the descriptor is closed. */
function tryLock(directory: number): boolean {
  try {
    flock(directory, LOCK_EX | LOCK_NB);
    return true;
  } catch (error) {
    if (isErrno(error, EAGAIN)) return false;
    throw error;
  }
}

/** What is made beside the log before it gets its name; one writer, so one name. */
function aside(path: string): string {
  return `${path}.new`;
}

export function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** Makes room at `path`: each file becomes the next older one, the oldest goes. Under the lock. */
function shift(path: string, maxFiles: number, compression: Compression | undefined): void {
  const suffixes = compression === undefined ? [""] : ["", SUFFIX[compression]];
  for (const suffix of suffixes) removeIfThere(`${path}.${maxFiles - 1}${suffix}`);
  for (let number = maxFiles - 2; number >= 1; number--) {
    for (const suffix of suffixes) renameIfThere(`${path}.${number}${suffix}`, `${path}.${number + 1}${suffix}`);
  }
  if (maxFiles < 2) removeIfThere(path);
  else renameIfThere(path, `${path}.1`);
}

/** Where the file with that inode is now; undefined when it is gone. */
function placeOf(path: string, ino: bigint, maxFiles: number): string | undefined {
  for (let number = 1; number < maxFiles; number++) {
    try {
      if (statx(AT_FDCWD, `${path}.${number}`).ino === ino) return `${path}.${number}`;
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error;
    }
  }
  return undefined;
}

function renameIfThere(from: string, to: string): void {
  try {
    renameat2(AT_FDCWD, from, AT_FDCWD, to);
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkat(AT_FDCWD, path);
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
  }
}

/** Cuts off what a killed supervisor left half written behind the last whole record or line. */
export function cutTo(fd: Fd, end: number, size: number): void {
  if (end > size) throw new CtrError("internal", "the log shrank while it was opened");
  if (end < size) ftruncate(fd.number, end);
}
