/** Things that are to be over at some time: one timer for all of them, and none when there are none. */

export interface Deadlines extends Disposable {
  /** Calls `action` in `afterMs`, unless the function this gives is called before. */
  add(afterMs: number, action: () => void): () => void;
  /** Milliseconds until the next one; undefined when there is none. */
  untilNext(): number | undefined;
}

interface Deadline {
  readonly at: number;
  readonly action: () => void;
}

export function createDeadlines(): Deadlines {
  const waiting = new Set<Deadline>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let timerAt = Number.POSITIVE_INFINITY;
  const earliest = (): number => {
    let at = Number.POSITIVE_INFINITY;
    for (const deadline of waiting) at = Math.min(at, deadline.at);
    return at;
  };
  const disarm = (): void => {
    clearTimeout(timer);
    timer = undefined;
    timerAt = Number.POSITIVE_INFINITY;
  };
  const arm = (at: number): void => {
    disarm();
    timerAt = at;
    timer = setTimeout(ring, Math.max(0, at - performance.now()));
  };
  const ring = (): void => {
    disarm();
    const now = performance.now();
    for (const deadline of [...waiting]) {
      // Those that the action of another has taken away are not due any more.
      if (deadline.at <= now && waiting.delete(deadline)) deadline.action();
    }
    const next = earliest();
    if (next < timerAt) arm(next);
  };
  return {
    add(afterMs, action) {
      const deadline = { at: performance.now() + afterMs, action };
      waiting.add(deadline);
      if (deadline.at < timerAt) arm(deadline.at);
      return () => {
        waiting.delete(deadline);
        if (waiting.size === 0) disarm();
      };
    },
    untilNext: () => (waiting.size === 0 ? undefined : Math.max(0, earliest() - performance.now())),
    [Symbol.dispose]: () => {
      waiting.clear();
      disarm();
    },
  };
}
