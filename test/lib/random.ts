/** Numbers that follow from a seed (mulberry32), so that a failing run can be repeated. */

/** Numbers from 0 to 1, without 1. */
export function randomFractions(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** `next(limit)` is a whole number below the limit. */
export function randomNumbers(seed: number): (limit: number) => number {
  const next = randomFractions(seed);
  return (limit) => Math.floor(next() * limit);
}
