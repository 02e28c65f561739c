/** The first words to an init that waits, by whoever started it; `launchWaiting` goes on from there, in its supervisor. */
import { encodeFrame } from "../ipc/frame.ts";
import { hello } from "../ipc/hello.ts";
import { type ContainerName, createMessage, INIT_CONVERSATION } from "../ipc/init.ts";
import type { Spec } from "../spec/runtime.ts";
import { writeAll } from "../sys/fd.ts";

/** Greets init and gives it its spec. Throws EPIPE when it is gone. */
export function handOver(control: number, spec: Spec, container: ContainerName): void {
  writeAll(control, encodeFrame(hello(INIT_CONVERSATION)));
  writeAll(control, encodeFrame(createMessage(spec, container)));
}
