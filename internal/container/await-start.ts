/** Waiting for a start that another command is about to finish. */
import { transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { ESRCH, isErrno } from "../errors/error.ts";
import { type Fd, POLLIN } from "../sys/fd.ts";
import { pidfdOpen } from "../sys/process.ts";
import { IN_MODIFY, inotifyAddWatch, inotifyDrain, inotifyInit, pollAny } from "../sys/watch.ts";
import type { ContainerRecord } from "./record.ts";
import { containerById, hasKeeper } from "./store.ts";

/**
 * Returns when the container is no longer at rest with a keeper: it runs, or its start has failed, or whoever started it is
 * gone. Blocks. False if there was nothing to wait for.
 */
export function awaitOtherStart(engine: Engine, id: string): boolean {
  // What woke us counts a moment after it was written; until then its writer holds the lock (events.ts).
  const look = () => transaction(engine.db, () => containerById(engine, id));
  // Opens the log, so that it is there to be watched.
  look();
  using changes = inotifyInit();
  inotifyAddWatch(changes.number, `${engine.root}/ctr.db-wal`, IN_MODIFY);
  for (let hasWaited = false; ; hasWaited = true) {
    const record = look();
    if (record === undefined || !isBeingStarted(record)) return hasWaited;
    using keeper = openKeeper(record.runtime.supervisorPid);
    if (keeper === undefined) return true;
    pollAny(
      [changes, keeper].map(({ number: fd }) => ({ fd, events: POLLIN })),
      -1,
    );
    inotifyDrain(changes.number);
  }
}

function isBeingStarted({ state, runtime }: ContainerRecord): boolean {
  return (state === "created" || state === "exited") && hasKeeper(runtime);
}

function openKeeper(pid: number): Fd | undefined {
  try {
    return pidfdOpen(pid);
  } catch (error) {
    if (isErrno(error, ESRCH)) return undefined;
    throw error;
  }
}
