/** One run of a container's program: from its start, with everything that is undone when the start fails, to its release. */
import { type Confinement, confinementOf } from "../../internal/container/confinement.ts";
import type { LogSink } from "../../internal/container/log/sink.ts";
import { containerName } from "../../internal/container/names.ts";
import type { ContainerRecord, EndpointRecord } from "../../internal/container/record.ts";
import type { Engine } from "../../internal/db/engine.ts";
import { CtrError, ENOENT, ESRCH, isErrno } from "../../internal/errors/error.ts";
import type { TerminalSize } from "../../internal/ipc/supervisor.ts";
import { type Launch, launch, launchWaiting } from "../../internal/runtime/launch.ts";
import type { Spec } from "../../internal/spec/runtime.ts";
import { O_RDONLY, O_RDWR, open } from "../../internal/sys/fd.ts";
import { type ChildExit, isRunning, pidfdSendSignal } from "../../internal/sys/process.ts";
import { onChildExit } from "./children.ts";
import type { HandedOver } from "./early.ts";
import { type Attached, attachNetworks, detachNetworks } from "./network.ts";
import { type Audience, writeLog } from "./output.ts";
import { endsOf, makePipes, type ProgramEnds, type ProgramStreams, terminalStreams } from "./streams.ts";
import { sleep } from "./timer.ts";

/** A running container. */
export interface Run {
  readonly launch: Launch;
  readonly confinement: Confinement;
  readonly streams: ProgramStreams;
  /** Resolves when everything that it wrote is in the log. */
  readonly drained: Promise<void>;
  readonly exited: Promise<ChildExit>;
}

/** What a start needs of its container. */
export interface RunOptions {
  /** An init that has its spec already. */
  readonly early: HandedOver | undefined;
  readonly size: TerminalSize | undefined;
  openLog(): Promise<LogSink>;
  /** Records it: called once the program runs, because a start that fails leaves the container in the state it had. */
  begun(launch: Launch, endpoints: readonly EndpointRecord[]): void;
  /** Get what has been logged. */
  readonly listeners: Audience;
}

/** Namespaces, network, program; undoes what it did when one of them fails. */
export async function startRun(engine: Engine, record: ContainerRecord, options: RunOptions): Promise<Run> {
  const { config } = record;
  const { early, listeners } = options;
  if (early === undefined && record.driver !== undefined) {
    const { makeFlatRoot } = await import("../../internal/container/flat-root.ts");
    makeFlatRoot(engine, record);
  }
  const confinement = confinementOf(record);
  const pipes = config.Tty || early !== undefined ? undefined : makePipes(config.OpenStdin);
  using ends = pipes?.ends ?? nullEnds();
  let started: Launch | undefined;
  let streams = early?.streams ?? pipes?.streams;
  try {
    started =
      early === undefined
        ? await launch(await specOf(engine, record, options.size), ends.fds, {
            container: containerName(engine, record.id),
          })
        : await launchWaiting(early.init, confinement);
    const pid = started.pid;
    const exited = new Promise<ChildExit>((resolve) => onChildExit(pid, resolve));
    const ready = started.ready();
    // Looked at below, or by `attach`; not reported a second time when the log cannot be opened.
    ready.catch(ignore);
    const log = await options.openLog();
    const { endpoints, served } = await attach(engine, record, started, ready);
    // Looked at before the program starts, or nobody needs it.
    served.catch(ignore);
    const { terminal } = await ready;
    if (terminal !== undefined) streams = terminalStreams(terminal);
    if (streams === undefined) throw new CtrError("internal", "init made no terminal");
    await served;
    await started.start();
    options.begun(started, endpoints);
    const drained = streams.pump((stream, data) => {
      const logged = writeLog(log, stream, data);
      if (logged !== undefined) return logged.then(() => listeners.tell(stream, data));
      return listeners.isEmpty ? undefined : listeners.tell(stream, data);
    });
    // Looked at when the program has ended.
    drained.catch(ignore);
    return { launch: started, confinement, streams, drained, exited };
  } catch (error) {
    // Why it failed is what is told; what cannot be undone now has a row, by which the next command finds it.
    try {
      started?.abort();
    } catch {
      // As said: the row leads to it.
    }
    await streams?.close().catch(ignore);
    await detachNetworks(engine, record).catch(ignore);
    throw error;
  }
}

/** False if PID 1 has ended already. Signal 0 only asks. */
export function signalRun(run: Run, signal: number): boolean {
  try {
    if (signal !== 0) pidfdSendSignal(run.launch.pidfd.number, signal);
    return true;
  } catch (error) {
    if (isErrno(error, ESRCH)) return false;
    throw error;
  }
}

/** Gives back what the kernel and netd hold for a run that has ended; what was left undone, if anything. */
export async function releaseRun(engine: Engine, record: ContainerRecord, run: Run): Promise<unknown> {
  // netd sees by itself that the network namespace is gone: a netd that does not answer takes nothing from the record.
  const detached = detachNetworks(engine, record).catch(ignore);
  let problem: unknown;
  // PID 1 took its namespace with it; what a joined process left is killed with the cgroup.
  await run.launch.cgroup.destroyWith(sleep).catch((error: unknown) => {
    problem = error;
  });
  await detached;
  run.launch[Symbol.dispose]();
  return problem;
}

/** For a start that no client has made the spec of: loaded when there is one. */
async function specOf(engine: Engine, record: ContainerRecord, size: TerminalSize | undefined): Promise<Spec> {
  if (record.hostConfig.IDMappings !== undefined) {
    const { fillBeforeStart } = await import("../../internal/container/fill-volumes.ts");
    await fillBeforeStart(engine, record);
  }
  const { startSpec } = await import("../../internal/container/spec.ts");
  return await startSpec(engine, record, size === undefined ? {} : { consoleSize: size });
}

/** Asks netd for the endpoints. When init is dead, its own last words say why, not netd's about a namespace that is gone. */
async function attach(
  engine: Engine,
  record: ContainerRecord,
  started: Launch,
  ready: Promise<unknown>,
): Promise<Attached> {
  try {
    return await attachNetworks(engine, record, started);
  } catch (error) {
    if (isGone(started)) await ready;
    throw error;
  }
}

/**
 * True once init ends: a process lets go of its namespaces first, and is no zombie until everybody in its PID namespace
 * has ended (kernel/exit.c, do_exit).
 */
function isGone({ pid, startTime }: Launch): boolean {
  if (!isRunning(pid, startTime)) return true;
  try {
    open(`/proc/${pid}/ns/net`, O_RDONLY).close();
    return false;
  } catch (error) {
    if (isErrno(error, ENOENT, ESRCH)) return true;
    throw error;
  }
}

function nullEnds(): ProgramEnds {
  const nothing = open("/dev/null", O_RDWR);
  return endsOf([nothing, nothing, nothing]);
}

/** What goes wrong here changes nothing: each caller says why. */
function ignore(): void {}
