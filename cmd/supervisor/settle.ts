/** Preparations for a long life: what the start has cached is given back, and nothing is woken for. */
import { hasDefaultFilter } from "../../internal/container/confinement.ts";
import type { ContainerRecord } from "../../internal/container/record.ts";
import type { Engine } from "../../internal/db/engine.ts";
import { dozeWhenIdle } from "../../internal/sys/idle.ts";
import { attempt, ignore } from "./attempt.ts";
import { untilNextTimer } from "./timer.ts";

/** A container that ends sooner is spared them. */
const SETTLE_MS = 100;

interface Life {
  /** True while the log has work of its own, for which the loop must go on. */
  readonly isLogBusy: () => boolean;
  /** Looked at while nothing happens. */
  readonly descriptors: Map<number, () => void>;
  /** Called when it is done. */
  readonly settled: () => void;
  /** The machine goes down. */
  readonly stop: () => Promise<void>;
}

/** Once a container has lived for a moment there is little to do. */
export function settleLater(engine: Engine, record: ContainerRecord, life: Life): void {
  setTimeout(() => settle(engine, record, life), SETTLE_MS);
}

function settle(engine: Engine, record: ContainerRecord, { isLogBusy, descriptors, settled, stop }: Life): void {
  // systemd ends the session or the service that has started the container, most often because the machine goes down.
  process.on("SIGTERM", () => void stop().catch(ignore));
  // Neither is worth a container: without them the supervisor is merely larger, and wakes more often.
  attempt(() => engine.db.run("PRAGMA shrink_memory"), ignore);
  const untilNext = () => (isLogBusy() ? 0 : untilNextTimer());
  attempt(() => dozeWhenIdle({ untilNextTimer: untilNext, descriptors }), ignore);
  // A kernel that takes no such filter took none for the container either, and would have said so.
  void filterOwnCalls(record).catch(ignore);
  settled();
}

/** What this process never calls is refused to it, if its container's programs cannot tell. */
async function filterOwnCalls(record: ContainerRecord): Promise<void> {
  if (!hasDefaultFilter(record)) return;
  const own = await import("../../internal/security/own-filter.ts");
  own.filterOwnCalls("supervisor");
}
