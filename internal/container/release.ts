/** Letting go of what a container at rest has: for its removal, its own end with `--rm`, and what a crash left. */
import { openCgroup } from "../cgroups/cgroup.ts";
import { endingTransaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { makeReserve } from "../db/reserve.ts";
import { withContext } from "../errors/error.ts";
import { wakeNetd } from "../ipc/netd-client.ts";
import { removeSnapshot } from "../snapshot/remove-snapshot.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { removeTree } from "../sys/file.ts";
import { processStartTime } from "../sys/process.ts";
import { finishVolumeRemovals, releaseMounts } from "../volume/store.ts";
import { cgroupPathOf } from "./cgroup-place.ts";
import { recordContainerEvent, recordMove } from "./event.ts";
import { withdrawNames } from "./name-links.ts";
import { type ContainerRecord, secretsDirectory } from "./record.ts";
import { isLive } from "./states.ts";
import { containerById, forget, type Keeper, move } from "./store.ts";

export interface ReleaseOptions {
  /** Its anonymous volumes too. */
  readonly volumes: boolean;
  /**
   * For the end of `--rm`: the caller is the keeper, and the cgroup is gone. The row need not say `removing` then: should
   * the caller die over it, a row with `--rm` and a dead keeper is removed wholly anyway.
   */
  readonly isKeptWithoutCgroup?: boolean;
  /** How its program ended, if it still ran when this was asked for; otherwise it is known to have been killed. */
  readonly end?: End;
}

interface End {
  readonly exitCode: number;
  readonly oomKilled?: boolean;
  /** By `stop`. */
  readonly wasStopped?: boolean;
}

/** 128 + SIGKILL */
const KILLED: End = { exitCode: 137 };

/**
 * Lets go of everything a container at rest has: cgroup, directories, volumes, and its row. For its supervisor (`--rm`),
 * which is its keeper, and for commands, which become it. Does all it can and throws the first problem at the end; the
 * row is then `dead` and the next removal goes on from there. Succeeds when the container is gone.
 */
export function releaseContainer(engine: Engine, record: ContainerRecord, options: ReleaseOptions): void {
  const { end = KILLED } = options;
  const removing = options.isKeptWithoutCgroup === true ? record : beginRemoval(engine, record.id, end);
  if (removing === undefined) return;
  const problems: unknown[] = [];
  const attempt = (step: () => void) => {
    try {
      step();
    } catch (error) {
      problems.push(error);
    }
  };
  if (options.isKeptWithoutCgroup !== true) attempt(() => openCgroup(cgroupPathOf(removing)).destroy());
  attempt(() => withdrawNames(engine.state, record));
  attempt(() => removeTree(AT_FDCWD, `${engine.state}/containers/${record.id}`));
  if (record.hostConfig.Secrets !== undefined)
    attempt(() => removeTree(AT_FDCWD, secretsDirectory(engine.state, record.id)));
  attempt(() => removeSnapshot(`${engine.root}/containers/${record.id}`));
  if (options.isKeptWithoutCgroup !== true && removing.runtime.endpoint !== undefined)
    attempt(() => void wakeNetd(engine));
  if (problems.length > 0) {
    beginRemoval(engine, record.id, end);
    move(engine, record.id, "dead", { error: text(problems[0]) });
    throw withContext(`remove container ${record.name}`, problems[0]);
  }
  endingTransaction(engine.db, () => {
    recordMove(engine, removing, ended(removing, end));
    if (end.wasStopped === true) recordContainerEvent(engine, removing, "stop");
    releaseMounts(engine, record.id, options.volumes);
    forget(engine, record);
  });
  finishVolumeRemovals(engine);
  makeReserve(engine.root);
}

/** The row as `removing`, kept by this process; undefined when it is gone. */
function beginRemoval(engine: Engine, id: string, end: End): ContainerRecord | undefined {
  return endingTransaction(engine.db, () => {
    const record = containerById(engine, id);
    if (record === undefined) return undefined;
    if (record.state === "removing") return record;
    const ending = isLive(record.state) ? { exitCode: end.exitCode, oomKilled: end.oomKilled === true } : {};
    return move(engine, id, "removing", { ...ending, keeper: self(), pid: 0, pidStartTime: 0 });
  });
}

function ended(record: ContainerRecord, { exitCode, oomKilled = false }: End): ContainerRecord {
  return { ...record, state: "removing", runtime: { ...record.runtime, exitCode, oomKilled } };
}

function self(): Keeper {
  return { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 };
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
