/** How much of the disk a tree takes. */
import { ELOOP, ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../sys/fd.ts";
import { type DirectoryEntry, fstat, getdents64, S_IFDIR, S_IFMT, S_IFREG, type Stat, statx } from "../sys/file.ts";
import type { PathBytes } from "../sys/lib.ts";

const BLOCK = 512;

/**
 * The bytes of the files in a tree (or of one file): their lengths, as Docker counts, but of a file with holes only
 * what is on the disk. A file with several names counts once. What is not there, or goes away meanwhile, is 0; below
 * descriptors, never through a link. However deep the tree is, few descriptors are open at a time.
 */
export function treeUsage(path: string): number {
  return usageAt(AT_FDCWD, path, new Set());
}

/** The same below a directory, for a count that has `seen` some files already. */
export function usageAt(dirfd: number, name: PathBytes, seen: Set<bigint>): number {
  const first = present(() => statx(dirfd, name));
  if (first === undefined) return 0;
  if ((first.mode & S_IFMT) !== S_IFDIR) return fileUsage(first, seen);
  let bytes = 0;
  using levels = new Levels();
  levels.enter(dirfd, name);
  for (let level = levels.last; level !== undefined; level = levels.last) {
    const { fd, left } = level;
    const entry = left.pop();
    // A directory that was moved meanwhile leads nowhere back: what is left above it is not counted.
    if (fd === undefined) return bytes;
    if (entry === undefined) {
      levels.leave();
      continue;
    }
    const stat = present(() => statx(fd.number, entry.name));
    if (stat === undefined) continue;
    if ((stat.mode & S_IFMT) === S_IFDIR) levels.enter(fd.number, entry.name);
    else bytes += fileUsage(stat, seen);
  }
  return bytes;
}

/** Of a tree a container makes deeper than any limit on descriptors, or than functions may call each other. */
const MAX_OPEN_DEPTH = 64;

interface Level {
  /** Undefined while it lies too far above. */
  fd: Fd | undefined;
  readonly stat: Stat;
  /** Entries that were not looked at yet. */
  readonly left: DirectoryEntry[];
}

/** The directories from the tree's own down to the one that is looked at. */
class Levels implements Disposable {
  readonly #levels: Level[] = [];

  get last(): Level | undefined {
    return this.#levels.at(-1);
  }

  /** Stays where it is if there is no such directory any more. */
  enter(dirfd: number, name: PathBytes): void {
    const fd = present(() => openat(dirfd, name, DIRECTORY));
    if (fd === undefined) return;
    this.#levels.push({ fd, stat: fstat(fd.number), left: present(() => getdents64(fd.number)) ?? [] });
    close(this.#levels.at(-1 - MAX_OPEN_DEPTH));
  }

  /** Back to the directory above, which is opened again if it was too far, and is the same. */
  leave(): void {
    using left = this.#levels.pop()?.fd;
    const above = this.last;
    if (left === undefined || above === undefined || above.fd !== undefined) return;
    using fd = present(() => openat(left.number, "..", DIRECTORY));
    if (fd !== undefined && isSame(fstat(fd.number), above.stat)) above.fd = new Fd(fd.take());
  }

  [Symbol.dispose](): void {
    for (const level of this.#levels.splice(0)) close(level);
  }
}

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

function close(level: Level | undefined): void {
  level?.fd?.close();
  if (level !== undefined) level.fd = undefined;
}

function isSame(one: Stat, other: Stat): boolean {
  return one.ino === other.ino && one.devMajor === other.devMajor && one.devMinor === other.devMinor;
}

/** Undefined if what is asked for is not there, or is no directory. */
function present<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR, ELOOP)) return undefined;
    throw error;
  }
}

/** What one file adds; nothing if it was `seen` under another name. */
export function fileUsage(stat: Stat, seen: Set<bigint>): number {
  if ((stat.mode & S_IFMT) !== S_IFREG) return 0;
  if (stat.nlink > 1) {
    if (seen.has(stat.ino)) return 0;
    seen.add(stat.ino);
  }
  return Math.min(stat.size, stat.blocks * BLOCK);
}
