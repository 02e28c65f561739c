/** Whether an init holds, asked of its listening socket: at every `state`, so that next to nothing is loaded for it. */
import { ECONNREFUSED, ENOENT, isErrno } from "../errors/error.ts";
import type { Fd } from "../sys/fd.ts";
import { AF_UNIX, connect, SOCK_STREAM, socket, unixAddress } from "../sys/socket.ts";

/** Connects to an init that holds; undefined when nobody listens there any more, or never did. */
export function visitHeld(path: string): Fd | undefined {
  const visitor = socket(AF_UNIX, SOCK_STREAM);
  try {
    connect(visitor.number, unixAddress(path), path);
    return visitor;
  } catch (error) {
    visitor.close();
    if (isErrno(error, ECONNREFUSED, ENOENT)) return undefined;
    throw error;
  }
}
