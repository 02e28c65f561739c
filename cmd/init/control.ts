/** Init's end of the conversation with its supervisor: blocking, because init does one thing after the other. */
import { ProtocolError } from "../../internal/errors/error.ts";
import { encodeFrame, FrameReader } from "../../internal/ipc/frame.ts";
import { checkHello, hello } from "../../internal/ipc/hello.ts";
import {
  decodeToInit,
  type FromInit,
  INIT_CONTROL_FD,
  INIT_CONVERSATION,
  type ToldInit,
} from "../../internal/ipc/init.ts";
import { read, writeAll } from "../../internal/sys/fd.ts";

const frames = new FrameReader();
const chunk = new Uint8Array(65536);

/** Says hello, and hears it. */
export function greet(): void {
  writeAll(INIT_CONTROL_FD, encodeFrame(hello(INIT_CONVERSATION)));
  checkHello(nextValue(), INIT_CONVERSATION);
}

/** Waits for the message of this type; any other is out of order. */
export function expect<Type extends ToldInit["type"]>(type: Type): Extract<ToldInit, { type: Type }> {
  const message = decodeToInit(nextValue());
  if (message.type !== type) throw new ProtocolError(`${message.type} came where ${type} was expected`);
  return message as Extract<ToldInit, { type: Type }>;
}

/** Tells the supervisor. */
export function tell(message: FromInit): void {
  writeAll(INIT_CONTROL_FD, encodeFrame(message));
}

function nextValue(): unknown {
  for (;;) {
    const value = frames.next();
    if (value !== undefined) return value;
    const size = read(INIT_CONTROL_FD, chunk);
    // The supervisor is gone, and with it the reason to start anything.
    if (size === 0) process.exit(1);
    frames.push(chunk.subarray(0, size));
  }
}
