/** Timers that are counted: while one is pending the supervisor must stay in its event loop (internal/sys/idle.ts). */

let pending = 0;

/** True while any timer is pending. */
export function hasTimers(): boolean {
  return pending > 0;
}

/** Calls `action` once after `ms`, unless disposed before. */
export function startTimer(ms: number, action: () => void): Disposable {
  let isPending = true;
  pending++;
  const stop = () => {
    if (!isPending) return;
    isPending = false;
    pending--;
    clearTimeout(timer);
  };
  const timer = setTimeout(() => {
    stop();
    action();
  }, ms);
  return { [Symbol.dispose]: stop };
}

/** Resolves after `ms`. */
export async function sleep(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _ = startTimer(ms, resolve);
  await promise;
}
