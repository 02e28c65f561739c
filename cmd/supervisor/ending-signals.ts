/** The signals by which a container's program is asked to end. */
import type { ContainerRecord } from "../../internal/container/record.ts";
import { signalNumber } from "../../internal/sys/signals.ts";

const SIGTERM = 15;
export const SIGKILL = 9;
/** HUP is left out: to many programs it means to read their configuration again. */
const ENDING_SIGNALS = [2, 3, SIGTERM, SIGKILL];

/** What `stop` sends first. */
export function stopSignal({ config: { StopSignal } }: ContainerRecord): number {
  // Checked when the container was made; an image's own nonsense means the default.
  return StopSignal === undefined ? SIGTERM : (signalNumber(StopSignal) ?? SIGTERM);
}

/** True for a signal that is meant to end the program: SIGKILL, its stop signal, and what terminals and init send. */
export function endsProgram(record: ContainerRecord, signal: number): boolean {
  return ENDING_SIGNALS.includes(signal) || signal === stopSignal(record);
}
