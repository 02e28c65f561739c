/** The containers with a restart policy, around a boot: stopped before, started after. */
import type { Engine } from "../db/engine.ts";
import { withContext } from "../errors/error.ts";
import { collect, refresh } from "./collect.ts";
import { stopContainer } from "./control.ts";
import type { ContainerRecord } from "./record.ts";
import { wantsRestore } from "./restart-rule.ts";
import { startContainer } from "./start.ts";
import { isLive } from "./states.ts";
import { listContainers } from "./store.ts";

/** As many starts at a time as keep the machine busy without making each wait for all. */
const AT_A_TIME = 4;

/** What has become of each container, as it becomes known. */
export interface Progress {
  onDone(name: string): void;
  onFailure(error: unknown): void;
}

/** Starts what has a policy that wants it and does not run, those whose network others share first. */
export async function restoreContainers(engine: Engine, progress: Progress): Promise<void> {
  for (const problem of collect(engine)) progress.onFailure(problem);
  const wanted = listContainers(engine).filter(isWanted);
  const isGuest = ({ hostConfig }: ContainerRecord) => hostConfig.NetworkMode.startsWith("container:");
  for (const some of [wanted.filter((record) => !isGuest(record)), wanted.filter(isGuest)]) {
    await someAtATime(some, progress, (record) => startContainer(engine, record));
  }
}

/** Stops all that run, each with its own signal and patience; their policies hold. */
export async function shutDownContainers(engine: Engine, progress: Progress): Promise<void> {
  const living = listContainers(engine).filter((record) => isLive((refresh(engine, record) ?? record).state));
  // All at once: their patience is not to add up.
  await Promise.all(
    living.map((record) => attempt(record, progress, () => stopContainer(engine, record.id, { isShutdown: true }))),
  );
}

function isWanted({ hostConfig, runtime, state }: ContainerRecord): boolean {
  // One that was never started was not meant to run.
  if (state !== "exited" || runtime.startedAt === undefined) return false;
  const { exitCode, restartCount, wasStoppedByHand = false } = runtime;
  return wantsRestore(hostConfig.RestartPolicy, { exitCode, restartCount, wasStoppedByHand });
}

async function someAtATime(
  records: readonly ContainerRecord[],
  progress: Progress,
  action: (record: ContainerRecord) => Promise<void>,
): Promise<void> {
  const left = [...records];
  const work = async () => {
    for (let record = left.shift(); record !== undefined; record = left.shift()) {
      const { id } = record;
      await attempt(record, progress, () => action({ ...record, id }));
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
}

async function attempt(record: ContainerRecord, progress: Progress, action: () => Promise<void>): Promise<void> {
  try {
    await action();
    progress.onDone(record.name);
  } catch (error) {
    progress.onFailure(withContext(record.name, error));
  }
}
