/** The socket on which an init that holds is told to go. */
import type { Fd } from "../sys/fd.ts";
import { AF_UNIX, bind, listen, SOCK_STREAM, socket, unixAddress } from "../sys/socket.ts";

/** Listens at the path. */
export function listenAt(path: string): Fd {
  const listener = socket(AF_UNIX, SOCK_STREAM);
  try {
    bind(listener.number, unixAddress(path), path);
    listen(listener.number, 64);
    return listener;
  } catch (error) {
    listener.close();
    throw error;
  }
}
