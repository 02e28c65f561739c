/**
 * Opening network namespaces where netd may not do it itself: by a process that can (csrc/opener.c), asked over a pair of
 * sockets. Without one netd opens them itself.
 */
import { ECONNRESET, EPIPE, isErrno, SyscallError } from "../errors/error.ts";
import { Fd, O_RDONLY, open } from "../sys/fd.ts";
import { recvFd, send } from "../sys/socket.ts";

/** The one thing that is the process's own, not a container's: set once, before anything is opened. */
let socket: number | undefined;

/** From now on through the process at the other end. */
export function openThrough(fd: number): void {
  socket = fd;
}

const MSG_NOSIGNAL = 0x4000;

/** Its answer; of size 0 when it is gone. */
function ask(to: number, path: string, answer: Uint8Array): ReturnType<typeof recvFd> {
  try {
    send(to, new TextEncoder().encode(path), MSG_NOSIGNAL);
    return recvFd(to, answer);
  } catch (error) {
    if (isErrno(error, EPIPE, ECONNRESET)) return { size: 0, fd: undefined };
    throw error;
  }
}

/** A namespace file, open for reading. Throws SyscallError as open(2) does. */
export function openNamespaceFile(path: string): Fd {
  if (socket === undefined) return open(path, O_RDONLY);
  const answer = new Int32Array(1);
  const { size, fd } = ask(socket, path, new Uint8Array(answer.buffer));
  // Without it no container can be served: whoever next needs netd starts one with another.
  if (size === 0) process.kill(process.pid, "SIGKILL");
  if (fd === undefined) throw new SyscallError("open", answer[0] ?? 0, path);
  return new Fd(fd);
}
