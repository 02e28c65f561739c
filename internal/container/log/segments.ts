/** The files of one log as a reader sees them: opened together, at one moment between two rotations. */
import { ENOENT, ENOTDIR, isErrno } from "../../errors/error.ts";
import {
  AT_FDCWD,
  type Fd,
  flock,
  LOCK_SH,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  open,
  openat,
  writeAll,
} from "../../sys/fd.ts";
import { fstat, getdents64, statx } from "../../sys/file.ts";
import { type Compression, compressedInode, decompressFrames, SUFFIX } from "./compressed.ts";
import { directoryOf } from "./rotating-file.ts";

/** One file of a log. */
export class Segment implements Disposable {
  /** When it was last written, nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  /** Of the file as it was written, also when this is its compressed form. */
  readonly inode: bigint;
  readonly #directory: string;
  readonly #compression: Compression | undefined;
  #fd: Fd;
  #isPlain: boolean;

  constructor(directory: string, fd: Fd, compression: Compression | undefined) {
    this.#directory = directory;
    this.#fd = fd;
    this.#compression = compression;
    this.#isPlain = compression === undefined;
    const { mtimeNs, ino } = fstat(fd.number);
    this.mtimeNs = mtimeNs;
    this.inode = compression === undefined ? ino : (compressedInode(compression, fd.number) ?? 0n);
  }

  /** A descriptor of the text; it belongs to the segment. A compressed one is unpacked into a nameless file first. */
  plain(): number {
    if (!this.#isPlain && this.#compression !== undefined) {
      const text = open(this.#directory, O_TMPFILE | O_RDWR, 0o600);
      try {
        for (const frame of decompressFrames(this.#compression, this.#fd.number)) writeAll(text.number, frame);
      } catch (error) {
        text.close();
        throw error;
      }
      this.#fd.close();
      this.#fd = text;
      this.#isPlain = true;
    }
    return this.#fd.number;
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

const decoder = new TextDecoder();

/** Opens the files of a log, the oldest first and the one that is written last; none when there is none yet. */
export function openSegments(path: string): Segment[] {
  const directory = directoryOf(path);
  const name = path.slice(directory.length + 1);
  let opened: Fd;
  try {
    opened = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return [];
    throw error;
  }
  using held = opened;
  flock(held.number, LOCK_SH);
  const found = getdents64(held.number)
    .map((entry) => placeOf(name, decoder.decode(entry.name)))
    .filter((place) => place !== undefined)
    // The plain file before its compressed form, which a crash may have left beside it.
    .sort((a, b) => b.number - a.number || Number(a.compression !== undefined) - Number(b.compression !== undefined));
  using segments = new DisposableStack();
  const list: Segment[] = [];
  let last = -1;
  for (const { number, name: entry, compression } of found) {
    if (number === last) continue;
    last = number;
    list.push(segments.use(new Segment(directory, openat(held.number, entry, O_RDONLY | O_NOFOLLOW), compression)));
  }
  segments.move();
  return list;
}

interface Place {
  readonly name: string;
  /** 0 for the file that is written. */
  readonly number: number;
  readonly compression: Compression | undefined;
}

function placeOf(log: string, name: string): Place | undefined {
  if (!name.startsWith(log)) return undefined;
  if (name.length === log.length) return { name, number: 0, compression: undefined };
  const [, number, suffix] = /^\.([1-9]\d{0,8})(\.gz|\.zst)?$/.exec(name.slice(log.length)) ?? [];
  if (number === undefined) return undefined;
  const compression = suffix === undefined ? undefined : suffix === SUFFIX.gzip ? "gzip" : "zstd";
  return { name, number: Number(number), compression };
}

/** True when another file is written by now than this one. */
export function hasRotated(path: string, segment: Segment): boolean {
  try {
    return statx(AT_FDCWD, path).ino !== segment.inode;
  } catch (error) {
    // In the middle of a rotation, or the container is removed.
    if (isErrno(error, ENOENT, ENOTDIR)) return false;
    throw error;
  }
}

/** The files that came after this one, the oldest first; all of them when it is gone. */
export function segmentsAfter(path: string, segment: Segment): Segment[] {
  const all = openSegments(path);
  // The last one: an older file that has been compressed may have had the number that was then given to this one, but
  // none after it can have it while this one is open.
  const at = all.findLastIndex(({ inode }) => inode === segment.inode);
  for (const older of all.splice(0, at + 1)) older[Symbol.dispose]();
  return all;
}
