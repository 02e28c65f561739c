/** Timers that are counted: a supervisor that sleeps outside its event loop must be back for them (internal/sys/idle.ts). */

/** When each pending one is due, in milliseconds of `performance.now()`. */
const pending = new Map<object, number>();

/** Milliseconds until the next timer is due, at least 0; undefined when none is pending. */
export function untilNextTimer(): number | undefined {
  let next: number | undefined;
  for (const due of pending.values()) next = Math.min(next ?? due, due);
  return next === undefined ? undefined : Math.max(0, next - performance.now());
}

/** Calls `action` once after `ms`, unless disposed before. */
export function startTimer(ms: number, action: () => void): Disposable {
  const key = {};
  pending.set(key, performance.now() + ms);
  const stop = () => {
    if (pending.delete(key)) clearTimeout(timer);
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
