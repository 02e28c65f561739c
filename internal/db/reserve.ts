/**
 * Room that is kept for what ends and removes things: on a full disk the database needs some pages to record that
 * something is gone. A file of the store's own, given up when the disk is full and made again when there is room.
 */
import { ENOENT, ENOSPC, EOPNOTSUPP, isErrno } from "../errors/error.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, open } from "../sys/fd.ts";
import { exists, fallocate, unlinkat } from "../sys/file.ts";

/** The log of the database before it is written back (see database.ts), and the index of the layout. */
const RESERVE_BYTES = 1 << 20;

function reservePath(root: string): string {
  return `${root}/reserve`;
}

/** Makes the reserve when it is missing. Without room, or where a file system cannot promise any, there is none. */
export function makeReserve(root: string): void {
  const path = reservePath(root);
  if (exists(AT_FDCWD, path)) return;
  try {
    using file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    fallocate(file.number, 0, RESERVE_BYTES);
  } catch (error) {
    dropReserve(root);
    if (!isErrno(error, ENOSPC, EOPNOTSUPP)) throw error;
  }
}

/** Runs what ends or removes something; when the disk is full, once more with the room of the reserve. */
export function withReserve<T>(root: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!isErrno(error, ENOSPC) || !dropReserve(root)) throw error;
  }
  return action();
}

function dropReserve(root: string): boolean {
  try {
    unlinkat(AT_FDCWD, reservePath(root));
    return true;
  } catch (error) {
    if (isErrno(error, ENOENT)) return false;
    throw error;
  }
}
