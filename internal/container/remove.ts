/** `rm`: a container is brought to rest if that was asked for, and everything it has is let go. */
import type { Engine } from "../db/engine.ts";
import { CtrError, ESRCH, isErrno } from "../errors/error.ts";
import { connectUnix } from "../ipc/connection.ts";
import { type FromSupervisor, SUPERVISOR_CLIENT, supervisorSocket, type ToSupervisor } from "../ipc/supervisor.ts";
import { POLLIN, poll } from "../sys/fd.ts";
import { pidfdOpen } from "../sys/process.ts";
import { killSupervisor, refresh } from "./collect.ts";
import type { ContainerRecord } from "./record.ts";
import { releaseContainer } from "./release.ts";
import { isLive } from "./states.ts";
import { containerById, hasKeeper } from "./store.ts";

export interface RemoveOptions {
  /** Kill it first if it runs. */
  readonly force: boolean;
  /** Its anonymous volumes too. */
  readonly volumes: boolean;
}

/** How long a supervisor may take to kill and remove its container before it is killed itself. */
const SUPERVISOR_LIMIT_MS = 15_000;

/**
 * Removes a container, and the layers that only it still had. Throws `conflict`, in Docker's words, for one that runs
 * unless `force` is given.
 */
export async function removeContainer(
  engine: Engine,
  container: ContainerRecord,
  options: RemoveOptions,
): Promise<void> {
  await removeOnly(engine, container, options);
  // Its image is there: then its layers are the image's.
  if (engine.db.query("SELECT 1 FROM image WHERE id = ?").get(container.imageId) !== null) return;
  const { collectGarbage } = await import("../image/collect.ts");
  collectGarbage(engine);
}

async function removeOnly(engine: Engine, container: ContainerRecord, options: RemoveOptions): Promise<void> {
  const record = refresh(engine, container);
  if (record === undefined) return;
  if (isLive(record.state)) {
    if (!options.force) throw cannotRemove(record);
    if (await removeBySupervisor(engine, record, options.volumes)) return;
    // It did not answer, or not in time: its place is taken.
    killSupervisor(record.runtime);
  } else if (record.state === "removing" && hasKeeper(record.runtime)) {
    if (!options.force || !keeperEnds(record)) {
      throw new CtrError("conflict", `removal of container ${record.name} is already in progress`);
    }
    if (containerById(engine, record.id) === undefined) return;
  } else if (hasKeeper(record.runtime)) {
    // About to be started by another command.
    if (!options.force) throw cannotRemove({ ...record, state: "running" });
    killSupervisor(record.runtime);
  }
  const left = refresh(engine, record);
  if (left !== undefined) releaseContainer(engine, left, { volumes: options.volumes });
}

/** Waits for the process that removes it; false if that takes longer than the limit. */
function keeperEnds({ runtime }: ContainerRecord): boolean {
  try {
    using keeper = pidfdOpen(runtime.supervisorPid);
    return !hasKeeper(runtime) || poll(keeper.number, POLLIN, SUPERVISOR_LIMIT_MS) !== 0;
  } catch (error) {
    if (isErrno(error, ESRCH)) return true;
    throw error;
  }
}

function cannotRemove(record: ContainerRecord): CtrError {
  const why =
    record.state === "paused"
      ? "container is paused and must be unpaused first"
      : `container is ${record.state}: stop the container before removing or force remove`;
  return new CtrError("conflict", `cannot remove container "/${record.name}": ${why}`);
}

/** True once the supervisor has removed its container; false when it cannot. */
async function removeBySupervisor(engine: Engine, record: ContainerRecord, volumes: boolean): Promise<boolean> {
  let timer: Timer | undefined;
  try {
    const path = supervisorSocket(engine.state, record.id);
    const supervisor = await connectUnix<FromSupervisor, ToSupervisor>(path, SUPERVISOR_CLIENT);
    const limit = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, SUPERVISOR_LIMIT_MS);
    });
    supervisor.send({ type: "remove", volumes });
    const answer = await Promise.race([supervisor.receive(), limit]);
    supervisor.end();
    if (answer?.type === "failed") throw new CtrError("internal", answer.message);
  } catch (error) {
    // Nobody answers, or the supervisor died over it: whatever it left undone is done here.
    if (!(error instanceof CtrError)) throw error;
  } finally {
    clearTimeout(timer);
  }
  return containerById(engine, record.id) === undefined;
}
