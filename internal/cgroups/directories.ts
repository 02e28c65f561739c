/** The directories of a cgroup hierarchy and the processes in them: made, listed, removed. Knows no controller. */
import { CtrError, EBUSY, EEXIST, ENODEV, ENOENT, ENOTEMPTY, ESRCH, isErrno } from "../errors/error.ts";
import { AT_FDCWD, AT_REMOVEDIR, type Fd, O_DIRECTORY, O_RDONLY, open, POLLIN, poll } from "../sys/fd.ts";
import { getdents64, mkdirat, S_IFDIR, unlinkat, unlinkIfThere } from "../sys/file.ts";
import { pidfdOpen } from "../sys/process.ts";
import { readControl } from "./file.ts";

/** One path, checked: nothing may climb out of the hierarchy. */
export function normalPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "");
  const isBad =
    parts.length === 0 ||
    parts.some((part) => part === "." || part === ".." || part.includes("\0") || part.includes("\n"));
  if (isBad) throw new CtrError("invalid", `cgroup path ${JSON.stringify(path)} is not usable`);
  return `/${parts.join("/")}`;
}

/** mkdir(2) below `mountPoint`, with its parents; a leftover of the name without processes is replaced. */
export function makeDirectory(mountPoint: string, path: string): void {
  for (let attempt = 0; ; attempt++) {
    try {
      mkdirat(AT_FDCWD, `${mountPoint}${path}`, 0o755);
      return;
    } catch (error) {
      if (isErrno(error, EEXIST) && attempt < 2) {
        // Left by a container that is gone: its limits must not be ours. Fails if a process is inside.
        removeDirectory(`${mountPoint}${path}`, 0);
      } else if (isErrno(error, ENOENT) && attempt < 2) {
        makeParents(mountPoint, path);
      } else {
        throw error;
      }
    }
  }
}

function makeParents(mountPoint: string, path: string): void {
  for (let end = path.indexOf("/", 1); end > 0; end = path.indexOf("/", end + 1)) {
    try {
      mkdirat(AT_FDCWD, `${mountPoint}${path.slice(0, end)}`, 0o755);
    } catch (error) {
      if (!isErrno(error, EEXIST)) throw error;
    }
  }
}

/** rmdir(2) from the leaves up; waits for ending processes until `deadline` (Bun.nanoseconds). */
export function removeDirectory(directory: string, deadline: number): void {
  for (;;) {
    try {
      unlinkat(AT_FDCWD, directory, AT_REMOVEDIR);
      return;
    } catch (error) {
      if (isErrno(error, ENOENT, ENODEV)) return;
      if (!isErrno(error, EBUSY, ENOTEMPTY)) throw error;
      for (const name of childNames(directory)) removeDirectory(`${directory}/${name}`, deadline);
      const leftMs = (deadline - Bun.nanoseconds()) / 1e6;
      const pids = treePids(directory);
      if (leftMs <= 0) {
        // Emptied meanwhile (its children were in the way): once more, and then the kernel's word counts.
        if (pids.length === 0 && tryRemove(directory)) return;
        throw new CtrError("conflict", `process ${pids[0] ?? "(ending)"} is still inside`, { cause: error });
      }
      // Without a listed process one is between its exit and the end of its accounting, for which there is no event.
      if (pids.length > 0) waitForProcesses(pids, Math.min(leftMs, 100));
      else if (!tryRemove(directory)) poll(-1, 0, 1);
    }
  }
}

/** rmdir(2); false while something is inside. */
export function tryRemove(directory: string): boolean {
  try {
    unlinkIfThere(directory, AT_REMOVEDIR);
    return true;
  } catch (error) {
    if (isErrno(error, EBUSY, ENOTEMPTY)) return false;
    throw error;
  }
}

/** The cgroups right below. */
export function childNames(directory: string): string[] {
  try {
    using fd = open(directory, O_RDONLY | O_DIRECTORY);
    return getdents64(fd.number)
      .filter(({ kind }) => kind === S_IFDIR)
      .map(({ name }) => new TextDecoder().decode(name));
  } catch (error) {
    if (isErrno(error, ENOENT)) return [];
    throw error;
  }
}

/** Every process inside and below. */
export function treePids(directory: string): number[] {
  let text: string;
  try {
    text = readControl(directory, "cgroup.procs");
  } catch (error) {
    // Removed meanwhile (ENODEV: while it was open), so nobody is inside.
    if (isErrno(error, ENOENT, ENODEV)) return [];
    throw error;
  }
  const pids = text.split("\n").filter((line) => line !== "" && line !== "0");
  return [...pids.map(Number), ...childNames(directory).flatMap((name) => treePids(`${directory}/${name}`))];
}

/** Waits for the end of each in turn, at most `timeoutMs` in all. */
export function waitForProcesses(pids: readonly number[], timeoutMs: number): void {
  const deadline = Bun.nanoseconds() + timeoutMs * 1e6;
  for (const pid of pids) {
    const leftMs = Math.ceil((deadline - Bun.nanoseconds()) / 1e6);
    if (leftMs <= 0) return;
    using pidfd = openPidfd(pid);
    if (pidfd !== undefined) poll(pidfd.number, POLLIN, leftMs);
  }
}

/** Undefined when the process is gone. */
export function openPidfd(pid: number): Fd | undefined {
  try {
    return pidfdOpen(pid);
  } catch (error) {
    if (isErrno(error, ESRCH)) return undefined;
    throw error;
  }
}
