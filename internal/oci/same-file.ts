/** Whether two names lead to one file: for the files of namespaces (namespaces(7)), of which each has one. */
import { EACCES, ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { statx } from "../sys/file.ts";

/** False where one cannot be found: what is wrong with it is told by who opens it. */
export function isSameFile(path: string, other: string): boolean {
  try {
    const [one, two] = [statx(AT_FDCWD, path, 0), statx(AT_FDCWD, other, 0)];
    return one.ino === two.ino && one.devMajor === two.devMajor && one.devMinor === two.devMinor;
  } catch (error) {
    if (isErrno(error, EACCES, ENOENT, ENOTDIR)) return false;
    throw error;
  }
}
