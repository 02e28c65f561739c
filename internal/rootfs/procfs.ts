/**
 * Files of procfs, for writing: reached from a directory that was checked to be the root of a procfs, without leaving its
 * mount and without links, so that nothing mounted over one of them, and no link in its place, takes the write elsewhere
 * (CVE-2025-52881, CVE-2019-16884).
 */
import { CtrError } from "../errors/error.ts";
import { AT_FDCWD, type Fd, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_WRONLY, writeAll } from "../sys/fd.ts";
import {
  fstat,
  fstatfsType,
  openat2,
  PROC_SUPER_MAGIC,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from "../sys/file.ts";

/** fs/proc/root.c */
const PROC_ROOT_INO = 1n;

/** /proc of the root file system behind `root`. Throws `invalid` when that is not the whole of a procfs. */
export function openProcfs(root: number): Fd {
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
  const proc = openat2(root, "/proc", { flags: O_PATH | O_DIRECTORY, resolve });
  return checked(proc, "/proc of the container");
}

/** Writes one of this process's own files, `oom_score_adj` and its like. Only while /proc is the host's. */
export function writeOwnProcFile(name: string, text: string): void {
  using file = openOwnProcFile(name);
  writeAll(file.number, new TextEncoder().encode(text));
}

/** Opens one of this process's own files for writing. Only while /proc is the host's. */
export function openOwnProcFile(name: string): Fd {
  const flags = O_PATH | O_DIRECTORY;
  using proc = checked(openat2(AT_FDCWD, "/proc", { flags, resolve: RESOLVE_NO_SYMLINKS }), "/proc");
  // `self` is a link to a number beside it.
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;
  return openat2(proc.number, `self/${name}`, { flags: O_WRONLY | O_NOFOLLOW, resolve });
}

/** Sets the sysctl `path` (`net/ipv4/ip_forward`) through the procfs behind `proc`. */
export function writeSysctl(proc: number, path: string, value: string): void {
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
  using file = openat2(proc, `sys/${path}`, { flags: O_WRONLY | O_NOFOLLOW, resolve });
  if (fstatfsType(file.number) !== PROC_SUPER_MAGIC)
    throw new CtrError("invalid", `sysctl ${path}: /proc of the container is not procfs`);
  writeAll(file.number, new TextEncoder().encode(value));
}

function checked(proc: Fd, shown: string): Fd {
  const { ino, isMountRoot } = fstat(proc.number);
  if (fstatfsType(proc.number) === PROC_SUPER_MAGIC && ino === PROC_ROOT_INO && isMountRoot) return proc;
  proc.close();
  throw new CtrError("invalid", `${shown} is not procfs`);
}
