/**
 * A workspace: a directory below `<root>/ingest` where one command puts together blobs and layers before they are
 * published. It is held by flock(2), so it dies with its owner, and whoever comes next may remove it.
 */
import { EAGAIN, EEXIST, ENOENT, isErrno } from "../errors/error.ts";
import {
  AT_FDCWD,
  type Fd,
  flock,
  LOCK_EX,
  LOCK_NB,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  open,
  openat,
} from "../sys/fd.ts";
import { fstat, getdents64, mkdirAll, mkdirat, removeTree } from "../sys/file.ts";

export interface Workspace extends Disposable {
  /** Absolute path; everything in it goes away on dispose, or later if the process is killed. */
  readonly path: string;
  /** A descriptor of the directory. */
  readonly fd: number;
}

/** A new workspace of the store at `root`. */
export function openWorkspace(root: string): Workspace {
  const parent = `${root}/ingest`;
  mkdirAll(parent, 0o700);
  for (;;) {
    const name = newId();
    try {
      mkdirat(AT_FDCWD, `${parent}/${name}`, 0o700);
    } catch (error) {
      if (isErrno(error, EEXIST)) continue;
      throw error;
    }
    const fd = lockDirectory(parent, name);
    // A collector may have come between mkdir and flock and removed it: then it is tried again.
    if (fd !== undefined)
      return { path: `${parent}/${name}`, fd: fd.number, [Symbol.dispose]: () => discard(parent, name, fd) };
  }
}

function lockDirectory(parent: string, name: string): Fd | undefined {
  let fd: Fd | undefined;
  try {
    fd = open(`${parent}/${name}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    flock(fd.number, LOCK_EX);
    if (fstat(fd.number).nlink > 0) return fd;
  } catch (error) {
    fd?.close();
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
  fd.close();
  return undefined;
}

function discard(parent: string, name: string, fd: Fd): void {
  try {
    removeTree(AT_FDCWD, `${parent}/${name}`);
  } finally {
    fd.close();
  }
}

/** Removes the workspaces whose owner is gone; returns the sum of what `measure` says of them before. */
export function collectWorkspaces(root: string, measure: (path: string) => number = () => 0): number {
  let parent: Fd;
  try {
    parent = open(`${root}/ingest`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT)) return 0;
    throw error;
  }
  using directory = parent;
  let bytes = 0;
  for (const { name } of getdents64(directory.number)) {
    try {
      using fd = openat(directory.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      flock(fd.number, LOCK_EX | LOCK_NB);
      bytes += measure(`${root}/ingest/${new TextDecoder().decode(name)}`);
      removeTree(directory.number, name);
    } catch (error) {
      // EAGAIN: somebody is at work in it. ENOENT: somebody else removed it.
      if (!isErrno(error, EAGAIN, ENOENT)) throw error;
    }
  }
  return bytes;
}

/** A name nobody else takes: 128 random bits. */
export function newId(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex();
}
