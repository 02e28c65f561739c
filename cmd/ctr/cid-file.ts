/** `--cidfile`: the container's id in a file that must not be there before. */
import { CtrError, EEXIST, isErrno } from "../../internal/errors/error.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, open, writeAll } from "../../internal/sys/fd.ts";
import { exists } from "../../internal/sys/file.ts";

/** Throws `conflict` if the file is there. */
export function checkCidFile(path: string | undefined): void {
  if (path !== undefined && path !== "" && exists(AT_FDCWD, path)) throw taken(path);
}

/** Writes the id, without a newline. */
export function writeCidFile(path: string | undefined, id: string): void {
  if (path === undefined || path === "") return;
  try {
    using fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o666);
    writeAll(fd.number, new TextEncoder().encode(id));
  } catch (error) {
    if (isErrno(error, EEXIST)) throw taken(path);
    throw error;
  }
}

function taken(path: string): CtrError {
  return new CtrError(
    "conflict",
    `container ID file found, make sure the other container isn't running or delete ${path}`,
  );
}
