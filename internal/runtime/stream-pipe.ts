/** The pipes between a program and who looks after it. */
import { EPERM, isErrno } from "../errors/error.ts";
import { F_SETPIPE_SZ, type Fd, fcntl, pipe2 } from "../sys/fd.ts";

/** Fewer, larger reads on the log's path; pipe(7) allows an unprivileged user as much. */
const PIPE_BYTES = 1 << 20;

/** One pipe; disposing closes both ends, as far as nobody took them. */
export interface StreamPipe extends Disposable {
  readonly read: Fd;
  readonly write: Fd;
}

/** Makes a pipe of 1 MiB, or of the default size when the user's share of pipe memory is used up. */
export function streamPipe(): StreamPipe {
  const { read, write } = pipe2();
  try {
    fcntl(read.number, F_SETPIPE_SZ, PIPE_BYTES);
  } catch (error) {
    // The default size works as well, only slower.
    if (!isErrno(error, EPERM)) throw error;
  }
  return {
    read,
    write,
    [Symbol.dispose]: () => {
      read.close();
      write.close();
    },
  };
}
