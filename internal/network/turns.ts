/** What must not happen at the same time. */

/** Runs what concerns one subject one after the other; subjects do not wait for each other. */
export function createTurns(): <T>(subject: string, action: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return (subject, action) => {
    const before = last.get(subject);
    const turn = before === undefined ? action() : before.then(action, action);
    const settled = turn.then(
      () => undefined,
      () => undefined, // told to whoever waits for this turn
    );
    last.set(subject, settled);
    void settled.then(() => {
      if (last.get(subject) === settled) last.delete(subject);
    });
    return turn;
  };
}
