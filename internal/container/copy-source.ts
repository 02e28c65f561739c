/**
 * A file or a tree as entries of an archive, read below descriptors: no link is followed, nothing is opened that is not a
 * directory or a regular file, whoever changes the tree meanwhile.
 */
import { CtrError, EINVAL, ENOENT, ENXIO, EOPNOTSUPP, isErrno } from "../errors/error.ts";
import { entryKind } from "../snapshot/entry-kind.ts";
import type { EntryHeader, EntryKind } from "../spec/layer-entry.ts";
import {
  type Fd,
  lseek,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  open,
  openat,
  pread,
} from "../sys/fd.ts";
import { type DirectoryEntry, fgetxattr, fstat, getdents64, readlinkat, type Stat } from "../sys/file.ts";

/** An entry; `content` gives exactly `size` bytes and is used up before the next entry is asked for. */
export interface CopyEntry extends EntryHeader {
  readonly content?: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

const CAPABILITY = "security.capability";

/** True for a directory, given with its descriptor, whose content is left out. */
export type LeaveOut = (stat: Stat, directory: Fd) => boolean;

/** A directory that is being read. */
interface Level {
  readonly directory: Fd;
  readonly shown: Uint8Array;
  readonly names: Iterator<DirectoryEntry>;
}

interface Walk {
  readonly levels: Level[];
  /** The first name of each file with several links. */
  readonly links: Map<string, Uint8Array>;
  readonly leavesOut: LeaveOut;
}

/**
 * The entries of what `parent` holds under `name`, called `shown` and what lies below it. An empty `name` is the directory
 * behind `parent` itself. One descriptor is open for each level.
 */
export function* readTree(
  parent: Fd,
  name: Uint8Array,
  shown: Uint8Array,
  leavesOut: LeaveOut = () => false,
): Generator<CopyEntry, void, undefined> {
  const walk: Walk = { levels: [], links: new Map(), leavesOut };
  try {
    if (name.length > 0) {
      using place = openat(parent.number, name, O_PATH | O_NOFOLLOW);
      yield* readEntry(walk, place, shown);
    } else {
      yield header("directory", shown, fstat(parent.number));
      enter(walk, openat(parent.number, ".", O_RDONLY | O_DIRECTORY), shown);
    }
    for (let level = walk.levels.at(-1); level !== undefined; level = walk.levels.at(-1)) {
      const next = level.names.next();
      if (next.done === true) {
        level.directory.close();
        walk.levels.pop();
        continue;
      }
      using place = tryOpen(level.directory, next.value.name);
      if (place !== undefined) yield* readEntry(walk, place, joined(level.shown, next.value.name));
    }
  } finally {
    for (const { directory } of walk.levels) directory.close();
  }
}

function enter(walk: Walk, directory: Fd, shown: Uint8Array): void {
  const names = getdents64(directory.number).sort((a, b) => Buffer.compare(a.name, b.name));
  walk.levels.push({ directory, shown, names: names.values() });
}

/** Undefined for a name that was removed since the directory was listed: a container may be at work in it. */
function tryOpen(directory: Fd, name: Uint8Array): Fd | undefined {
  try {
    return openat(directory.number, name, O_PATH | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

/** The entry of what was opened with O_PATH: looked at before it is read, since opening a device or a pipe does something. */
function* readEntry(walk: Walk, place: Fd, shown: Uint8Array): Generator<CopyEntry, void, undefined> {
  const stat = fstat(place.number);
  const kind = entryKind(stat);
  if (kind === undefined) return; // a socket: it means nothing without the process that bound it
  if (kind === "directory") {
    yield header("directory", shown, stat);
    const directory = openat(place.number, ".", O_RDONLY | O_DIRECTORY);
    if (walk.leavesOut(stat, directory)) directory.close();
    else enter(walk, directory, shown);
    return;
  }
  if (stat.nlink > 1) {
    const key = `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
    const first = walk.links.get(key);
    if (first !== undefined) {
      yield { ...header("link", shown, stat), linkname: first };
      return;
    }
    walk.links.set(key, shown);
  }
  if (kind === "symlink") yield { ...header(kind, shown, stat), linkname: readlinkat(place.number, "") };
  else if (kind !== "file") yield header(kind, shown, stat);
  else {
    // The very file that was looked at, now to be read.
    using file = open(`/proc/self/fd/${place.number}`, O_RDONLY | O_NONBLOCK);
    const capability = fgetxattr(file.number, CAPABILITY);
    const xattrs = capability === undefined ? NO_XATTRS : new Map([[CAPABILITY, capability]]);
    yield { ...header(kind, shown, stat), size: stat.size, xattrs, content: contentOf(file, stat.size) };
  }
}

const CHUNK = 256 * 1024;
/** What a hole reads as. Whoever writes a copy may know it by its buffer. */
export const HOLE: Uint8Array = new Uint8Array(1 << 20);
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** `size` bytes, fewer if the file became shorter; holes are not read but told. */
function* contentOf(file: Fd, size: number): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < size; ) {
    const data = Math.min(size, seek(file, at, SEEK_DATA) ?? size);
    for (; at < data; at += Math.min(HOLE.length, data - at)) yield HOLE.subarray(0, Math.min(HOLE.length, data - at));
    const end = at < size ? Math.min(size, seek(file, at, SEEK_HOLE) ?? size) : size;
    while (at < end) {
      const buffer = new Uint8Array(Math.min(CHUNK, end - at));
      const count = pread(file.number, buffer, at);
      if (count === 0) return;
      at += count;
      yield buffer.subarray(0, count);
    }
  }
}

/** The next data or hole from `at` on; undefined behind the last data. A file system without holes is all data. */
function seek(file: Fd, at: number, whence: number): number | undefined {
  try {
    return lseek(file.number, at, whence);
  } catch (error) {
    if (isErrno(error, ENXIO)) return undefined;
    if (isErrno(error, EINVAL, EOPNOTSUPP)) return whence === SEEK_DATA ? at : undefined;
    throw error;
  }
}

const NONE = new Uint8Array(0);
const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

function header(kind: EntryKind, name: Uint8Array, stat: Stat): EntryHeader {
  const isDevice = kind === "char" || kind === "block";
  return {
    kind,
    name,
    linkname: NONE,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: 0,
    mtimeNs: stat.mtimeNs,
    major: isDevice ? stat.rdevMajor : 0,
    minor: isDevice ? stat.rdevMinor : 0,
    xattrs: NO_XATTRS,
  };
}

/** `directory/name`; below the root and below nothing there is no slash to add. */
function joined(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const slash = directory.length > 0 && directory.at(-1) !== 0x2f ? 1 : 0;
  const path = new Uint8Array(directory.length + slash + name.length);
  path.set(directory);
  if (slash === 1) path[directory.length] = 0x2f;
  path.set(name, directory.length + slash);
  return path;
}

/** How many bytes the entries take in an archive: what Docker says was copied. */
export class ArchiveSize {
  bytes = 1024;

  async *count(entries: AsyncIterable<CopyEntry> | Iterable<CopyEntry>): AsyncGenerator<CopyEntry, void, undefined> {
    for await (const entry of entries) {
      this.bytes += 512 + Math.ceil(entry.size / 512) * 512;
      yield entry;
    }
  }
}

/** A file that ended before its size. */
export function shrunk(name: Uint8Array): CtrError {
  return new CtrError("conflict", `${new TextDecoder().decode(name)}: changed while it was read`);
}
