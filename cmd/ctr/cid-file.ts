/** `--cidfile`: the container's id in a file that must not be there before. */
import { CtrError, EEXIST, isErrno } from "../../internal/errors/error.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, open, writeAll } from "../../internal/sys/fd.ts";
import { unlinkat } from "../../internal/sys/file.ts";

/** The file, made before the container is: disposing of it without an id removes it. */
export interface CidFile extends Disposable {
  /** Writes the id, without a newline. */
  write(id: string): void;
}

/** Throws `conflict` if the file is there; undefined if none is wanted. */
export function openCidFile(path: string | undefined): CidFile | undefined {
  if (path === undefined || path === "") return undefined;
  const fd = create(path);
  let isWritten = false;
  return {
    write(id) {
      writeAll(fd.number, new TextEncoder().encode(id));
      isWritten = true;
    },
    [Symbol.dispose]() {
      fd[Symbol.dispose]();
      if (!isWritten) unlinkat(AT_FDCWD, path);
    },
  };
}

function create(path: string) {
  try {
    return open(path, O_WRONLY | O_CREAT | O_EXCL, 0o666);
  } catch (error) {
    if (isErrno(error, EEXIST)) {
      const words = `container ID file found, make sure the other container isn't running or delete ${path}`;
      throw new CtrError("conflict", words);
    }
    const why = error instanceof Error ? error.message : String(error);
    throw new CtrError("invalid", `failed to create the container ID file: ${why}`, { cause: error });
  }
}
