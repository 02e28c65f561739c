/** Whether there is anything for collect.ts to put right: most often not, and then that is not loaded. */
import type { Engine } from "../db/engine.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import { isRunning } from "../sys/process.ts";
import type { ContainerRecord } from "./record.ts";
import { notedStarts } from "./starting.ts";
import { hasKeeper, type Keeper, keptContainers } from "./store.ts";

/** There once a store was looked through after a boot: the state directory does not survive one. */
export function collectedMark(state: string): string {
  return `${state}/collected`;
}

function hasLeftovers(engine: Engine): boolean {
  const isLeft = ({ keeper }: { readonly keeper: Keeper }) => !isRunning(keeper.pid, keeper.startTime);
  return (
    keptContainers(engine).some(isLeft) ||
    notedStarts(engine.state).some(isLeft) ||
    !exists(AT_FDCWD, collectedMark(engine.state))
  );
}

/** Puts right whatever is left behind. What cannot be removed now is found again by the next command. */
export async function tidyUp(engine: Engine): Promise<void> {
  if (!hasLeftovers(engine)) return;
  const { collect } = await import("./collect.ts");
  collect(engine);
}

/** The record as it is now (collect.ts, `refresh`). */
export async function currentRecord(engine: Engine, record: ContainerRecord): Promise<ContainerRecord | undefined> {
  if (record.runtime.supervisorPid === 0 || hasKeeper(record.runtime)) return record;
  const { refresh } = await import("./collect.ts");
  return refresh(engine, record);
}
