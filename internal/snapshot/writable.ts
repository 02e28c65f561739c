/** The writable layer of a container: `<root>/containers/<id>/{upper,work}`. On the path of every start. */
import { CtrError, EEXIST, isErrno } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, fchmodat, fchownat, mkdirAll, mkdirat, removeTree, statx, utimensat } from "../sys/file.ts";
import { FLAT_ROOT } from "./flat.ts";

export interface WritableSnapshot {
  /** overlayfs' `upperdir` and `workdir`: absolute paths on one file system. */
  readonly upper: string;
  readonly work: string;
}

/**
 * Where a container's writable layer is, whether made or not; with a driver of whole trees that tree (see flat.ts). The id
 * must be one of ours: 64 hexadecimal digits.
 */
export function writableSnapshot(root: string, containerId: string): WritableSnapshot {
  const { upper, work } = overlaySnapshot(root, containerId);
  const flat = `${root}/containers/${containerId}/${FLAT_ROOT}`;
  return { upper: exists(AT_FDCWD, flat) ? flat : upper, work };
}

function overlaySnapshot(root: string, containerId: string): WritableSnapshot {
  if (!/^[0-9a-f]{64}$/.test(containerId)) throw new CtrError("internal", "not a container id");
  const directory = `${root}/containers/${containerId}`;
  return { upper: `${directory}/upper`, work: `${directory}/work` };
}

/**
 * Makes the writable layer over `lower` (topmost first), and the container's directory (0710) when missing. The root
 * of the upper directory is what a container sees as `/`: it gets the owner, mode and times of the topmost layer's.
 * Calling it again changes nothing.
 */
export function makeWritableSnapshot(root: string, containerId: string, lower: readonly string[]): WritableSnapshot {
  const snapshot = overlaySnapshot(root, containerId);
  // Made last: with it, everything before is whole, also if somebody was killed in here once.
  if (exists(AT_FDCWD, snapshot.work)) return snapshot;
  mkdirAll(`${root}/containers/${containerId}`, 0o710);
  makeDirectory(snapshot.upper, 0o755);
  const [top] = lower;
  if (top === undefined)
    fchmodat(AT_FDCWD, snapshot.upper, 0o755); // whatever the caller's umask was
  else {
    const stat = statx(AT_FDCWD, top);
    fchownat(AT_FDCWD, snapshot.upper, stat.uid, stat.gid);
    fchmodat(AT_FDCWD, snapshot.upper, stat.mode & 0o7777);
    utimensat(AT_FDCWD, snapshot.upper, stat.atimeNs, stat.mtimeNs);
  }
  makeDirectory(snapshot.work, 0o700);
  return snapshot;
}

/** A volatile overlay leaves a mark that refuses the next mount: after a crash of the machine the layer may be half of itself. */
export function forgetVolatile(work: string): void {
  const mark = `${work}/work/incompat`;
  if (exists(AT_FDCWD, mark)) removeTree(AT_FDCWD, mark);
}

function makeDirectory(path: string, mode: number): void {
  try {
    mkdirat(AT_FDCWD, path, mode);
  } catch (error) {
    if (!isErrno(error, EEXIST)) throw error;
  }
}
