/** The word that an init which holds is waiting for, by whoever may reach its listening socket. */
import { GO } from "../ipc/hold.ts";
import { type Fd, read, writeAll } from "../sys/fd.ts";

/** Says go and waits for execve. Throws with exit status 126 or 127 when the program cannot be run. */
export async function startHeld(visitor: Fd): Promise<void> {
  writeAll(visitor.number, new Uint8Array([GO]));
  const chunk = new Uint8Array(4096);
  const size = read(visitor.number, chunk);
  // The end of the stream is execve.
  if (size === 0) return;
  const { readStartFailure } = await import("./start-failure.ts");
  throw readStartFailure(visitor.number, chunk.subarray(0, size));
}
