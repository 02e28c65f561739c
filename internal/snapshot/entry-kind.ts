/** The kinds of files that an archive can hold. */
import type { EntryKind } from "../spec/layer-entry.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, type Stat } from "../sys/file.ts";

/** Undefined for a socket: it means nothing without the process that bound it. */
export function entryKind({ mode }: Stat): EntryKind | undefined {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFCHR:
      return "char";
    case S_IFBLK:
      return "block";
    case S_IFIFO:
      return "fifo";
    default:
      return undefined;
  }
}
