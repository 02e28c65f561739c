/** Memory that is used once, as the chunks of a stream are, given back soon. */

/**
 * Chunks are garbage as soon as they are passed on, but the collector sees small objects and not the memory behind them:
 * left alone it waits until there are 100 MB and more. The heap is small, so a collection takes a millisecond or two.
 */
const SWEEP_BYTES = 8 << 20;
let unswept = 0;

/** Called by whoever makes a chunk in memory of its own, with its size; collects garbage now and then. */
export function sweep(bytes: number): void {
  unswept += bytes;
  if (unswept < SWEEP_BYTES) return;
  unswept = 0;
  Bun.gc(true);
}
