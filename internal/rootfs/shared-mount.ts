/**
 * A file system in memory that belongs to several containers (a volume of type tmpfs): whoever starts later clones the
 * mount out of the namespace of one that runs.
 */
import { ENOENT, ESRCH, isErrno } from "../errors/error.ts";
import { AT_EMPTY_PATH, type Fd, O_DIRECTORY, O_PATH, O_RDONLY, open } from "../sys/fd.ts";
import { fstat, fstatfsType } from "../sys/file.ts";
import { OPEN_TREE_CLONE, openTree } from "../sys/mount.ts";
import { joinMounts, processStartTime } from "../sys/process.ts";
import { openInRoot } from "./resolve.ts";

/** statfs(2) */
const TMPFS_MAGIC = 0x01021994;
const RAMFS_MAGIC = 0x858458f6;

/**
 * A detached clone of what is mounted on `destination` in the mount namespace of a process, which its start time names for
 * good. Undefined when the process is gone, or there is no such mount any more: the container may have taken it away. To
 * be called while /proc is still the host's. The current directory is the root afterwards.
 */
export function cloneFromProcess(pid: number, startTime: number, destination: string): Fd | undefined {
  try {
    using namespace = open(`/proc/${pid}/ns/mnt`, O_RDONLY);
    if (processStartTime(pid) !== startTime) return undefined;
    using own = open("/proc/self/ns/mnt", O_RDONLY);
    joinMounts(namespace.number);
    try {
      using root = open("/", O_PATH | O_DIRECTORY);
      using place = openInRoot(root.number, destination);
      const type = fstatfsType(place.number);
      if (!fstat(place.number).isMountRoot || (type !== TMPFS_MAGIC && type !== RAMFS_MAGIC)) return undefined;
      return openTree(place.number, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    } finally {
      joinMounts(own.number);
    }
  } catch (error) {
    if (isErrno(error, ENOENT, ESRCH)) return undefined;
    throw error;
  }
}
