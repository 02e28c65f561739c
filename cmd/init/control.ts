/** Init's end of the conversation with its supervisor: blocking, because init does one thing after the other. */
import { ProtocolError } from "../../internal/errors/error.ts";
import { encodeFrame, FrameReader } from "../../internal/ipc/frame.ts";
import { checkHello, hello } from "../../internal/ipc/hello.ts";
import { GO } from "../../internal/ipc/hold.ts";
import {
  decodeToInit,
  type FromInit,
  INIT_CONTROL_FD,
  INIT_CONVERSATION,
  INIT_LISTENER_FD,
  type ToldInit,
} from "../../internal/ipc/init.ts";
import { close, F_DUPFD_CLOEXEC, fcntl, read, writeAll } from "../../internal/sys/fd.ts";
import { accept } from "../../internal/sys/socket.ts";

/** Whom init speaks with: its supervisor, or since it was held, who starts it. */
let control = INIT_CONTROL_FD;

const frames = new FrameReader();
const chunk = new Uint8Array(65536);

/** Says hello, and hears it. */
export function greet(): void {
  writeAll(control, encodeFrame(hello(INIT_CONVERSATION)));
  checkHello(nextValue(), INIT_CONVERSATION);
}

/** Waits for a message of one of these types; any other is out of order. */
export function expect<Type extends ToldInit["type"]>(...types: readonly Type[]): Extract<ToldInit, { type: Type }> {
  const message = decodeToInit(nextValue());
  if (!(types as readonly string[]).includes(message.type)) {
    throw new ProtocolError(`${message.type} came where ${types.join(" or ")} was expected`);
  }
  return message as Extract<ToldInit, { type: Type }>;
}

/** Lets go of who made this container, and waits for who starts it. */
export function hold(): void {
  close(control);
  const word = new Uint8Array(1);
  for (;;) {
    const visitor = accept(INIT_LISTENER_FD);
    if (read(visitor.number, word) === 1 && word[0] === GO) {
      control = visitor.take();
      return;
    }
    visitor.close();
  }
}

/** Moves the conversation to a descriptor above those that the program is to have. */
export function moveControl(above: number): void {
  const moved = fcntl(control, F_DUPFD_CLOEXEC, above);
  close(control);
  control = moved;
}

/** Tells the supervisor. */
export function tell(message: FromInit): void {
  writeAll(control, encodeFrame(message));
}

function nextValue(): unknown {
  for (;;) {
    const value = frames.next();
    if (value !== undefined) return value;
    const size = read(control, chunk);
    // The supervisor is gone, and with it the reason to start anything.
    if (size === 0) process.exit(1);
    frames.push(chunk.subarray(0, size));
  }
}
