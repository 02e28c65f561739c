/** How much of the disk a tree takes. */
import { ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../sys/fd.ts";
import { getdents64, S_IFDIR, S_IFMT, S_IFREG, type Stat, statx } from "../sys/file.ts";
import type { PathBytes } from "../sys/lib.ts";

const BLOCK = 512;

/**
 * The bytes of the files in a tree (or of one file): their lengths, as Docker counts, but of a file with holes only
 * what is on the disk. A file with several names counts once. What is not there, or goes away meanwhile, is 0; below
 * descriptors, never through a link.
 */
export function treeUsage(path: string): number {
  return usageOf(AT_FDCWD, path, new Set());
}

function usageOf(dirfd: number, name: PathBytes, seen: Set<bigint>): number {
  try {
    const stat = statx(dirfd, name);
    if ((stat.mode & S_IFMT) !== S_IFDIR) return fileUsage(stat, seen);
    let bytes = 0;
    using directory = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const entry of getdents64(directory.number)) bytes += usageOf(directory.number, entry.name, seen);
    return bytes;
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return 0;
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
