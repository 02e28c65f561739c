/**
 * The truth about a container, and what is done about the leftovers of a crash. A supervisor's word counts while it
 * lives; when it is dead its container's streams are gone with it, so what still runs of the container is killed and
 * recorded as exited.
 *
 *   keeper alive                 the row is right
 *   keeper dead, row live        kill the cgroup; exited 137, or as it had ended if it waited for a restart (removed wholly
 *                                with --rm)
 *   keeper dead, row at rest     a start that was cut off: kill the cgroup, the row stays (removed wholly with --rm)
 *   keeper dead, row removing    finish the removal
 *   keeper dead, noted, no row   kill the cgroup (starting.ts)
 *
 * A machine that lost its power may have lost the newest rows and kept their directories: those go after the reboot.
 */
import { cgroupsPath } from "../cgroups/birth.ts";
import { openCgroup } from "../cgroups/cgroup.ts";
import type { Engine } from "../db/engine.ts";
import { ENOENT, ENOSPC, ESRCH, isErrno } from "../errors/error.ts";
import { wakeNetd } from "../ipc/netd-client.ts";
import { removeSnapshot } from "../snapshot/remove-snapshot.ts";
import {
  AT_FDCWD,
  type Fd,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  open,
  POLLIN,
  poll,
} from "../sys/fd.ts";
import { exists, getdents64, removeTree } from "../sys/file.ts";
import { isRunning, pidfdOpen, pidfdSendSignal } from "../sys/process.ts";
import { cgroupPathOf } from "./cgroup-place.ts";
import { nowRfc3339 } from "./clock.ts";
import { collectedMark } from "./leftovers.ts";
import { isId } from "./names.ts";
import type { ContainerRecord, RuntimeRecord } from "./record.ts";
import { releaseContainer } from "./release.ts";
import { forgetStart, notedStarts } from "./starting.ts";
import { isLive } from "./states.ts";
import { containerById, hasKeeper, keptContainers, move, NOBODY, patchRuntime } from "./store.ts";

const SIGKILL = 9;
/** 128 + SIGKILL: how a container ended whose supervisor did not live to see it. */
const KILLED_STATUS = 137;

/**
 * The record as it is now: read again if its keeper died meanwhile, and put right. Undefined when the container is gone
 * by that.
 */
export function refresh(engine: Engine, record: ContainerRecord): ContainerRecord | undefined {
  if (record.runtime.supervisorPid === 0 || hasKeeper(record.runtime)) return record;
  try {
    collectOne(engine, record.id);
  } catch (error) {
    if (!isErrno(error, ENOSPC)) throw error;
    // It cannot be recorded yet, but it is so; whoever looks next tries again.
    return isLive(record.state)
      ? { ...record, state: "exited", runtime: { ...record.runtime, pid: 0, ...unseenEnd(record) } }
      : record;
  }
  return containerById(engine, record.id);
}

/**
 * Puts right every row whose keeper is dead, and what never had a row. Costs one indexed query, a look into two
 * directories, and one into /proc for each row that has a keeper. Problems with one container do not stop the others;
 * they are returned.
 */
export function collect(engine: Engine): unknown[] {
  const problems: unknown[] = [];
  for (const { id, keeper } of keptContainers(engine)) {
    if (isRunning(keeper.pid, keeper.startTime)) continue;
    attempt(problems, () => collectOne(engine, id));
  }
  problems.push(...collectStarts(engine));
  attempt(problems, () => collectAfterBoot(engine));
  return problems;
}

/** Removes what was left by starts that were cut off before their container was recorded. Returns problems as `collect`. */
export function collectStarts(engine: Engine): unknown[] {
  const problems: unknown[] = [];
  for (const { id, keeper, cgroupParent } of notedStarts(engine.state)) {
    if (isRunning(keeper.pid, keeper.startTime)) continue;
    attempt(problems, () => {
      // With a row it is that which is put right.
      if (isId(id) && containerById(engine, id) === undefined) {
        openCgroup(cgroupsPath(id, cgroupParent)).destroy();
        removeTree(AT_FDCWD, `${engine.state}/containers/${id}`);
      }
      forgetStart(engine.state, id);
    });
  }
  return problems;
}

/** Once after each boot, which the state directory does not survive: containers' directories that no row speaks of. */
function collectAfterBoot(engine: Engine): void {
  const done = collectedMark(engine.state);
  if (exists(AT_FDCWD, done)) return;
  // Listed before the rows are asked for: a row is there before its directory, and goes after it.
  for (const id of namesIn(`${engine.root}/containers`)) {
    if (isId(id) && containerById(engine, id) === undefined) removeSnapshot(`${engine.root}/containers/${id}`);
  }
  open(done, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600).close();
}

function namesIn(path: string): string[] {
  try {
    using directory = open(path, O_RDONLY | O_DIRECTORY);
    return getdents64(directory.number).map(({ name }) => new TextDecoder().decode(name));
  } catch (error) {
    if (isErrno(error, ENOENT)) return [];
    throw error;
  }
}

function attempt(problems: unknown[], action: () => void): void {
  try {
    action();
  } catch (error) {
    problems.push(error);
  }
}

function collectOne(engine: Engine, id: string): void {
  const record = containerById(engine, id);
  // Somebody else put it right, or took it over, meanwhile.
  if (record === undefined || record.runtime.supervisorPid === 0 || hasKeeper(record.runtime)) return;
  if (record.state === "removing" || record.hostConfig.AutoRemove) {
    // --rm removes anonymous volumes; of a cut off `rm -v` only the directories are sure to go.
    releaseContainer(engine, record, { volumes: record.hostConfig.AutoRemove });
    return;
  }
  openCgroup(cgroupPathOf(record)).destroy();
  removeTree(AT_FDCWD, `${engine.state}/containers/${id}`);
  // Its address and ports go with its network namespace; netd sees that, if there is one.
  if (record.runtime.endpoint !== undefined) wakeNetd(engine);
  const isSame = (now: ContainerRecord) =>
    now.runtime.supervisorPid === record.runtime.supervisorPid &&
    now.runtime.supervisorStartTime === record.runtime.supervisorStartTime;
  if (!isLive(record.state)) {
    patchRuntime(engine, id, { keeper: NOBODY, pid: 0, pidStartTime: 0 }, isSame);
    return;
  }
  move(engine, id, "exited", { pid: 0, pidStartTime: 0, ...unseenEnd(record), endpoint: undefined }, isSame);
}

/** How it ended without its supervisor; one that waited to be started again had ended before, and that was recorded. */
function unseenEnd({ state }: ContainerRecord): { readonly exitCode?: number; readonly finishedAt?: string } {
  return state === "restarting" ? {} : { exitCode: KILLED_STATUS, finishedAt: nowRfc3339() };
}

/** How long a supervisor that does not listen any more may take to end. */
const END_LIMIT_MS = 15_000;

/**
 * The record of a container whose supervisor does not answer: it is at its end, which is waited for, so that the row is
 * its last word. Undefined when the container is gone.
 */
export function afterSupervisor(engine: Engine, record: ContainerRecord): ContainerRecord | undefined {
  const now = containerById(engine, record.id);
  if (now === undefined || !isLive(now.state)) return now;
  {
    using supervisor = openSupervisor(now.runtime);
    if (supervisor !== undefined) poll(supervisor.number, POLLIN, END_LIMIT_MS);
  }
  const left = containerById(engine, record.id);
  return left === undefined ? undefined : refresh(engine, left);
}

/** Kills the process that answers for the row, if it is still that process, and waits for its end. */
export function killSupervisor(runtime: RuntimeRecord): void {
  using pidfd = openSupervisor(runtime);
  if (pidfd === undefined) return;
  pidfdSendSignal(pidfd.number, SIGKILL);
  poll(pidfd.number, POLLIN, -1);
}

/** The process that answers for the row; undefined when it is gone. */
function openSupervisor(runtime: RuntimeRecord): Fd | undefined {
  const { supervisorPid: pid, supervisorStartTime: startTime } = runtime;
  if (!isRunning(pid, startTime)) return undefined;
  let pidfd: Fd;
  try {
    pidfd = pidfdOpen(pid);
  } catch (error) {
    if (isErrno(error, ESRCH)) return undefined;
    throw error;
  }
  // The number may have been given away meanwhile: asked again, it would be another process.
  if (isRunning(pid, startTime)) return pidfd;
  pidfd.close();
  return undefined;
}
