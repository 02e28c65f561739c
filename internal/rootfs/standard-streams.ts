/** The standard streams of a program that is not root's: pipes and terminals that it may open again as /dev/stdout. */
import { EINVAL, EPERM, EROFS, isErrno } from "../errors/error.ts";
import { fchown, fstat, S_IFCHR, S_IFMT } from "../sys/file.ts";

/** chown(2): -1 leaves the group as it is. */
const KEEP = 0xffffffff;

/** Makes them the user's, as far as they can be given away; the null device is everybody's. */
export function giveStreams(fds: readonly number[], uid: number): void {
  for (const fd of fds) {
    const { mode, uid: owner, rdevMajor, rdevMinor } = fstat(fd);
    const isNull = (mode & S_IFMT) === S_IFCHR && rdevMajor === 1 && rdevMinor === 3;
    if (isNull || owner === uid) continue;
    try {
      fchown(fd, uid, KEEP);
    } catch (error) {
      // Not everything has an owner that may change: a socket, a file of a read-only or foreign file system.
      if (!isErrno(error, EINVAL, EPERM, EROFS)) throw error;
    }
  }
}
