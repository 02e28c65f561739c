/** Why a program could not be started, in init's words. */
import { CtrError } from "../errors/error.ts";
import { FrameReader } from "../ipc/frame.ts";
import { decodeFromInit, type FromInit } from "../ipc/init.ts";
import { read } from "../sys/fd.ts";

/** Docker's status for a failed start: 126 and 127 only for the program itself, otherwise the engine's 125. */
export function startFailure(failure: Extract<FromInit, { type: "failed" }>): CtrError {
  return new CtrError("invalid", failure.message, { exitStatus: failure.exitStatus ?? 125 });
}

/** The failure that begins with these bytes and goes on in the descriptor. */
export function readStartFailure(fd: number, begun: Uint8Array): CtrError {
  const frames = new FrameReader();
  frames.push(begun);
  const chunk = new Uint8Array(4096);
  for (;;) {
    const value = frames.next();
    if (value !== undefined) {
      const message = decodeFromInit(value);
      if (message.type === "failed") return startFailure(message);
      return new CtrError("internal", `init said ${message.type} after start`);
    }
    const size = read(fd, chunk);
    if (size === 0) return new CtrError("internal", "init ended in the middle of a word");
    frames.push(chunk.subarray(0, size));
  }
}
