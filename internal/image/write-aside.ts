/** A stream into a file that appears whole or not at all. */
import { CtrError, EISDIR, ENOENT, ENOTDIR, EOPNOTSUPP, isErrno } from "../errors/error.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  type Fd,
  O_CREAT,
  O_EXCL,
  O_TMPFILE,
  O_WRONLY,
  open,
  writeAll,
} from "../sys/fd.ts";
import { exists, linkat, renameat2, S_IFMT, S_IFREG, statx, unlinkat } from "../sys/file.ts";

/**
 * Writes the stream into a file without a name and gives it one at the end: a command that fails or is killed leaves
 * nothing. What is there and no regular file (`/dev/null`, a pipe) is written into.
 */
export async function writeStreamAside(path: string, stream: AsyncIterable<Uint8Array>): Promise<void> {
  if (exists(AT_FDCWD, path) && (statx(AT_FDCWD, path, 0).mode & S_IFMT) !== S_IFREG) {
    using fd = open(path, O_WRONLY);
    for await (const chunk of stream) writeAll(fd.number, chunk);
    return;
  }
  const aside = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  const directory = path.slice(0, path.lastIndexOf("/") + 1);
  try {
    using fd = openNameless(directory === "" ? "." : directory) ?? open(aside, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    for await (const chunk of stream) writeAll(fd.number, chunk);
    if (!exists(AT_FDCWD, aside)) {
      linkat(AT_FDCWD, `/proc/self/fd/${fd.number}`, AT_FDCWD, aside, AT_SYMLINK_FOLLOW);
    }
    renameat2(AT_FDCWD, aside, AT_FDCWD, path);
  } catch (error) {
    if (exists(AT_FDCWD, aside)) unlinkat(AT_FDCWD, aside);
    if (isErrno(error, ENOENT, ENOTDIR) && (error.path === aside || error.path === directory)) {
      throw new CtrError("not-found", `invalid output path: directory of ${JSON.stringify(path)} does not exist`, {
        cause: error,
      });
    }
    throw error;
  }
}

/** open(2), O_TMPFILE; undefined where the file system has none (NFS, overlayfs before kernel 6.6). */
function openNameless(directory: string): Fd | undefined {
  try {
    return open(directory, O_TMPFILE | O_WRONLY, 0o600);
  } catch (error) {
    if (!isErrno(error, EOPNOTSUPP, EISDIR)) throw error;
    return undefined;
  }
}
