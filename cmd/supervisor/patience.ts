/** Waiting for the last output. */
import type { ProgramStreams } from "./streams.ts";
import { startTimer } from "./timer.ts";

/** How long output may still come after the program has ended: somebody outside may hold the other end. */
const DRAIN_LIMIT_MS = 2000;

/**
 * Waits, but not for ever: what is left open by others ends with us. Output that waits for a slow client or log is
 * waited for as long as those are.
 */
export async function patiently(drained: Promise<void>, streams?: ProgramStreams): Promise<void> {
  for (let isOver = false; !isOver; ) {
    const { promise: limit, resolve } = Promise.withResolvers<boolean>();
    using _ = startTimer(DRAIN_LIMIT_MS, () => resolve(streams?.isHandingOn !== true));
    isOver = await Promise.race([drained.then(() => true), limit]);
  }
}
