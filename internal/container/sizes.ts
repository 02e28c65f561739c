/** How much space a container takes. */
import type { Engine } from "../db/engine.ts";
import { ENOENT, isErrno } from "../errors/error.ts";
import { writableSnapshot } from "../snapshot/writable.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../sys/fd.ts";
import { getdents64, S_IFDIR, S_IFMT, S_IFREG, statx } from "../sys/file.ts";
import type { ContainerRecord } from "./record.ts";

export interface ContainerSizes {
  /** Bytes of the files it wrote. */
  readonly writable: number;
  /** With its image's layers. */
  readonly total: number;
}

/** Walks the writable layer; links count once. */
export function containerSizes(engine: Engine, record: ContainerRecord): ContainerSizes {
  const writable = treeSize(AT_FDCWD, writableSnapshot(engine.root, record.id).upper, new Set());
  const query = engine.db.query<{ size: number }, [string]>("SELECT size FROM layer WHERE chain_id = ?");
  let image = 0;
  for (const chainId of record.layers) image += query.get(chainId)?.size ?? 0;
  return { writable, total: writable + image };
}

/** Below descriptors, never through a link; what goes away meanwhile is not counted. */
function treeSize(dirfd: number, name: string | Uint8Array, seen: Set<bigint>): number {
  let size = 0;
  try {
    using directory = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const entry of getdents64(directory.number)) {
      const stat = statx(directory.number, entry.name);
      const kind = stat.mode & S_IFMT;
      if (kind === S_IFDIR) size += treeSize(directory.number, entry.name, seen);
      else if (kind === S_IFREG && (stat.nlink === 1 || !seen.has(stat.ino))) {
        if (stat.nlink > 1) seen.add(stat.ino);
        size += stat.size;
      }
    }
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
  }
  return size;
}
