/** A stream into a file that appears whole or not at all. */
import { CtrError, ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, open, writeAll } from "../sys/fd.ts";
import { exists, renameat2, S_IFMT, S_IFREG, statx, unlinkat } from "../sys/file.ts";

/**
 * Writes the stream beside `path` and renames it there at the end; on failure nothing stays. What is there and no
 * regular file (`/dev/null`, a pipe) is written into.
 */
export async function writeStreamAside(path: string, stream: AsyncIterable<Uint8Array>): Promise<void> {
  if (exists(AT_FDCWD, path) && (statx(AT_FDCWD, path, 0).mode & S_IFMT) !== S_IFREG) {
    using fd = open(path, O_WRONLY);
    for await (const chunk of stream) writeAll(fd.number, chunk);
    return;
  }
  const aside = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    using fd = open(aside, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    for await (const chunk of stream) writeAll(fd.number, chunk);
    renameat2(AT_FDCWD, aside, AT_FDCWD, path);
  } catch (error) {
    if (exists(AT_FDCWD, aside)) unlinkat(AT_FDCWD, aside);
    if (isErrno(error, ENOENT, ENOTDIR) && error.path === aside) {
      throw new CtrError("not-found", `invalid output path: directory of ${JSON.stringify(path)} does not exist`, {
        cause: error,
      });
    }
    throw error;
  }
}
