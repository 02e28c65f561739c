/** The word that an init which holds is waiting for, by whoever may reach its listening socket. */
import { CtrError, ECONNREFUSED, ENOENT, isErrno } from "../errors/error.ts";
import { FrameReader } from "../ipc/frame.ts";
import { decodeFromInit, GO } from "../ipc/init.ts";
import { type Fd, read, writeAll } from "../sys/fd.ts";
import { AF_UNIX, connect, SOCK_STREAM, socket, unixAddress } from "../sys/socket.ts";
import { startFailure } from "./launch.ts";

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

/** Says go and waits for execve. Throws with exit status 126 or 127 when the program cannot be run. */
export function startHeld(visitor: Fd): void {
  writeAll(visitor.number, new Uint8Array([GO]));
  const frames = new FrameReader();
  const chunk = new Uint8Array(4096);
  for (let size = read(visitor.number, chunk); size > 0; size = read(visitor.number, chunk)) {
    frames.push(chunk.subarray(0, size));
    const value = frames.next();
    if (value === undefined) continue;
    const message = decodeFromInit(value);
    if (message.type === "failed") throw startFailure(message);
    throw new CtrError("internal", `init said ${message.type} after start`);
  }
}
