/** Handing a terminal to the caller: one message on its socket, with the master as a descriptor (runc's terminals.md). */
import { AF_UNIX, connect, SOCK_STREAM, sendFd, socket, unixAddress } from "../sys/socket.ts";

/** Sends it. Throws when nobody listens on the socket. */
export function sendConsole(path: string, master: number): void {
  using connection = socket(AF_UNIX, SOCK_STREAM);
  connect(connection.number, unixAddress(path), path);
  // The message is the terminal's name; its readers want a byte at least.
  sendFd(connection.number, master, new TextEncoder().encode("/dev/ptmx"));
}
