/** Handing a terminal to the caller: one message on its socket, with the master as a descriptor (runc's terminals.md). */
import { AF_UNIX, connect, SOCK_STREAM, sendFd, socket, unixAddress } from "../sys/socket.ts";

/** The same with a pidfd of the first process (`--pidfd-socket`); it is the receiver's to close. */
export function sendPidfd(path: string, pidfd: number): void {
  sendOver(path, pidfd, "pidfd");
}

/** Sends it. Throws when nobody listens on the socket. */
export function sendConsole(path: string, master: number): void {
  // The message is the terminal's name.
  sendOver(path, master, "/dev/ptmx");
}

function sendOver(path: string, fd: number, name: string): void {
  using connection = socket(AF_UNIX, SOCK_STREAM);
  connect(connection.number, unixAddress(path), path);
  // Its readers want a byte at least.
  sendFd(connection.number, fd, new TextEncoder().encode(name));
}
