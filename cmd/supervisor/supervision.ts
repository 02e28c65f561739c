/** One container under supervision, from its start to its rest. */

import type { Cgroup } from "../../internal/cgroups/cgroup.ts";
import { healthPlan } from "../../internal/container/health.ts";
import { openSink } from "../../internal/container/log/open-sink.ts";
import type { LogSink } from "../../internal/container/log/sink.ts";
import { containerName } from "../../internal/container/names.ts";
import type { ContainerRecord } from "../../internal/container/record.ts";
import { wantsRestart } from "../../internal/container/restart-rule.ts";
import { claim, containerById, findContainer } from "../../internal/container/store.ts";
import { type Engine, openEngine } from "../../internal/db/engine.ts";
import { CtrError } from "../../internal/errors/error.ts";
import type { ContainerName } from "../../internal/ipc/init.ts";
import type { TerminalSize } from "../../internal/ipc/supervisor.ts";
import type { SeccompFilter } from "../../internal/security/seccomp.ts";
import type { Capabilities } from "../../internal/spec/runtime.ts";
import { processStartTime } from "../../internal/sys/process.ts";
import { attempt, ignore } from "./attempt.ts";
import { BackOff } from "./back-off.ts";
import { Door } from "./door.ts";
import type { HandedOver } from "./early.ts";
import { endsProgram, SIGKILL, stopSignal } from "./ending-signals.ts";
import { failure, message, startError } from "./failure.ts";
import { Audience, type Client, delivered, endLog, endStreams } from "./output.ts";
import { patiently } from "./patience.ts";
import { type Program, serve } from "./requests.ts";
import { Row, type RunEnd, timestamp } from "./row.ts";
import { type Run, releaseRun, signalRun, startRun } from "./run.ts";
import { settleLater } from "./settle.ts";
import { startTimer } from "./timer.ts";

const DEFAULT_STOP_TIMEOUT_MS = 10_000;

/** Takes over a container that is at rest. */
export function openSupervision(
  id: string,
  directories: { readonly root: string; readonly state: string },
  early: HandedOver | undefined,
): Supervision {
  const engine = openEngine(directories);
  // `ctr run` records a new container with this process as its keeper already.
  const known = containerById(engine, id);
  const record = known?.runtime.supervisorPid === process.pid ? known : claim(engine, id, self());
  return new Supervision(engine, new Row(engine, record), early);
}

export class Supervision {
  /** Resolves when the container is at rest and nothing of it is left to do. */
  readonly ended: Promise<void>;
  readonly audience = new Audience();
  /** The ids of the further programs that run. */
  readonly execs = new Set<string>();
  readonly #engine: Engine;
  readonly #row: Row;
  readonly #door: Door;
  #resolveEnded: () => void = () => {};
  /** An init that is there already, for the first start. */
  #early: HandedOver | undefined;
  #log: LogSink | undefined;
  #run: Run | undefined;
  #restarts: (() => void)[] = [];
  #removal: { readonly volumes: boolean } | undefined;
  /** How often its policy has started it again since somebody did. */
  #restartCount = 0;
  /** Between an end and the next start by the restart policy. */
  readonly #backOff = new BackOff();
  #health: Disposable | undefined;
  #oom: Disposable | undefined;
  /** What is waited for while nothing happens, and whether it is by now. */
  readonly #descriptors = new Map<number, () => void>();
  #isSettled = false;
  /** The machine goes down: nothing is started any more. */
  #isShutdown = false;
  /** The program was asked to end by `stop` or `restart`. */
  #isStopping = false;
  /** Called when a start is over, one way or the other. */
  #settling: (() => void)[] = [];
  #hasBegun = false;
  /** Clients that have asked for something: each is owed its answer. */
  readonly #clients = new Set<Client>();
  /** What could not be recorded or let go at the end. */
  #problem: unknown;
  #atRest: Promise<void>;
  #resolveAtRest: () => void = () => {};

  constructor(engine: Engine, row: Row, early: HandedOver | undefined) {
    this.#engine = engine;
    this.#row = row;
    this.#early = early;
    this.#door = new Door(engine.state);
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.#atRest = new Promise((resolve) => {
      this.#resolveAtRest = resolve;
    });
  }

  get record(): ContainerRecord {
    return this.#row.record;
  }

  /** Starts the container for the first client; a failure leaves it as it was, with the reason recorded. */
  async start(size: TerminalSize | undefined, client: Client): Promise<void> {
    // On the socketpair it came once; what comes on the socket is a client that has lost its way.
    if (this.#hasBegun) throw new CtrError("conflict", `container ${this.record.name} has been started already`);
    this.#hasBegun = true;
    try {
      this.#door.open(this.record, (client) => void serve(this, client));
      const run = await this.#launch(size);
      client.send({ type: "started", pid: run.launch.pid });
      settleLater(this.#engine, this.record, {
        isLogBusy: () => this.#log?.isBusy === true,
        stop: () => this.stop(undefined, undefined, true),
        descriptors: this.#descriptors,
        settled: () => {
          this.#isSettled = true;
          void this.#watchMemory().catch(ignore);
        },
      });
      void this.#live(run).catch((error: unknown) => this.#giveUp(error));
    } catch (error) {
      const failure = startError(error);
      this.#early?.abandon();
      this.#restAfterFailure(failure);
      throw failure;
    }
  }

  /** Notes a client whose request is being answered; before the supervisor ends, it has its answer. */
  admit(client: Client): void {
    this.#clients.add(client);
    void client.ended.then(() => this.#clients.delete(client));
  }

  /** The program that attached clients talk to; undefined when none runs. */
  program(): Program | undefined {
    const run = this.#run;
    if (run === undefined) return undefined;
    const { OpenStdin, StdinOnce } = this.record.config;
    return {
      pidfd: run.launch.pidfd,
      input: OpenStdin ? run.streams.input : undefined,
      terminal: run.streams.terminal,
      closesInput: StdinOnce,
      tell: (action, attributes) => {
        if (action === "kill" && endsProgram(this.record, Number(attributes["signal"]))) this.#row.markStopped();
        this.tell(action, attributes);
      },
    };
  }

  /** True if this is the container that a user calls so, by the store's rules. */
  isMeant(name: string): boolean {
    return findContainer(this.#engine, name).id === this.record.id;
  }

  /** What a further program joins. Throws when the container is paused or does not run. */
  running(verb: string): {
    readonly pid: number;
    readonly pidfd: number;
    readonly cgroup: Cgroup;
    readonly record: ContainerRecord;
  } {
    const run = this.#run;
    if (run === undefined) throw this.notRunning(verb);
    if (this.record.state === "paused")
      throw new CtrError("conflict", `Container ${this.record.name} is paused, unpause the container before exec`);
    return { pid: run.launch.pid, pidfd: run.launch.pidfd.number, cgroup: run.launch.cgroup, record: this.record };
  }

  /** Records what happens to the container without changing its row. */
  tell(action: string, attributes: { readonly [name: string]: string } = {}): void {
    this.#row.tell(action, attributes);
  }

  /** True if somebody who sees the container's processes may trace them. */
  async isWatched(): Promise<boolean> {
    const { mayBeTraced } = await import("../../internal/container/spec-process.ts");
    return mayBeTraced(this.#engine, this.record);
  }

  /** The container as those outside know it. */
  name(): ContainerName {
    return containerName(this.#engine, this.record.id);
  }

  /** The filter of a container with these capabilities. */
  async seccomp(capabilities: Capabilities): Promise<SeccompFilter | undefined> {
    if (this.#run === undefined) return undefined;
    const { seccompFilter } = await import("../../internal/security/seccomp.ts");
    const process = { user: { uid: 0, gid: 0 }, args: [], cwd: "/", capabilities };
    return await seccompFilter({ ...this.#run.confinement, process });
  }

  /** Sends a signal to PID 1. A paused one gets it when it goes on, except SIGKILL, which ends the pause. */
  kill(signal: number): void {
    if (this.#backOff.isWaiting) {
      // There is nobody to get it, but it may be meant as the end.
      if (!endsProgram(this.record, signal)) throw this.notRunning("kill");
      this.#row.markStopped();
      this.#backOff.end("stay");
      return;
    }
    const run = this.#run;
    if (run !== undefined && endsProgram(this.record, signal)) this.#row.markStopped();
    if (run === undefined || !signalRun(run, signal)) throw this.notRunning("kill");
    this.tell("kill", { signal: String(signal) });
    if (signal === SIGKILL && this.record.state === "paused") this.resume();
  }

  /** The stop signal, then SIGKILL after the timeout (-1: never). Resolves when the container has ended. */
  async stop(signal?: number, timeoutMs?: number, isShutdown = false): Promise<void> {
    this.#isShutdown ||= isShutdown;
    if (this.#backOff.isWaiting) {
      if (!isShutdown) this.#row.markStopped();
      this.#backOff.end("stay");
      await this.#atRest;
      return;
    }
    const run = await this.#settledRun();
    if (run === undefined) return;
    if (this.#restarts.length === 0 && !isShutdown) this.#row.markStopped();
    const { StopTimeout } = this.record.config;
    const limit = timeoutMs ?? (StopTimeout === undefined ? DEFAULT_STOP_TIMEOUT_MS : StopTimeout * 1000);
    const first = signal ?? stopSignal(this.record);
    if (signalRun(run, first)) this.tell("kill", { signal: String(first) });
    this.#isStopping = true;
    if (this.record.state === "paused") this.resume();
    {
      const { promise: failed, reject } = Promise.withResolvers<never>();
      using _ = limit < 0 ? undefined : startTimer(limit, () => attempt(() => this.#killAfterLimit(run), reject));
      await Promise.race([run.exited, failed]);
    }
    if (this.#restarts.length === 0) await this.#atRest;
  }

  /** Stops and starts again, in this supervisor. Resolves when it runs. */
  async restart(signal?: number, timeoutMs?: number): Promise<void> {
    if (this.#backOff.isWaiting) {
      const started = new Promise<void>((resolve) => this.#restarts.push(resolve));
      this.#backOff.end("go");
      await Promise.race([started, this.#atRest]);
      return this.#checkRestarted();
    }
    if ((await this.#settledRun()) === undefined) throw this.notRunning("restart");
    const started = new Promise<void>((resolve) => this.#restarts.push(resolve));
    await this.stop(signal, timeoutMs);
    await Promise.race([started, this.#atRest]);
    this.#checkRestarted();
  }

  #checkRestarted(): void {
    if (this.#run !== undefined) this.tell("restart");
    else throw new CtrError("internal", this.record.runtime.error || "the container did not come back");
  }

  pause(): void {
    const run = this.#run;
    if (run === undefined) throw this.notRunning("pause");
    if (this.record.state === "paused")
      throw new CtrError("conflict", `Container ${this.record.name} is already paused`);
    run.launch.cgroup.freeze();
    this.#row.pause();
  }

  resume(): void {
    const run = this.#run;
    if (run === undefined || this.record.state !== "paused")
      throw new CtrError("conflict", `Container ${this.record.name} is not paused`);
    run.launch.cgroup.thaw();
    this.#row.resume();
  }

  /** Takes over what another process has changed in its record. */
  reread(): void {
    const before = this.record;
    this.#row.reread();
    if (before.name === this.record.name) return;
    this.#door.rename(before, this.record);
  }

  /** Kills it and removes it, its record too. */
  async remove(volumes: boolean): Promise<void> {
    this.#removal = { volumes };
    this.#backOff.end("stay");
    const run = await this.#settledRun();
    if (run !== undefined) {
      this.tell("kill", { signal: String(SIGKILL) });
      this.#killIfRunning(run);
      if (this.record.state === "paused") this.resume();
    }
    await this.#atRest;
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** What runs, once no start is under way and no end either; undefined when the container is at rest. */
  async #settledRun(): Promise<Run | undefined> {
    if (this.#run === undefined) {
      const settled = new Promise<void>((resolve) => this.#settling.push(resolve));
      await Promise.race([settled, this.#atRest]);
    }
    return this.#run;
  }

  /** Why nothing can be done with it. */
  notRunning(verb: string): CtrError {
    if (this.#backOff.isWaiting) {
      const words = `Container ${this.record.id} is restarting, wait until the container is running`;
      return new CtrError("conflict", words);
    }
    return new CtrError("conflict", `cannot ${verb} container ${this.record.name}: it is not running`);
  }

  #killAfterLimit(run: Run): void {
    if (this.#run === run) this.tell("kill", { signal: String(SIGKILL) });
    this.#killIfRunning(run);
  }

  #killIfRunning(run: Run): void {
    // Its end is waited for where it is told: PID 1 is among the killed, and takes its namespace with it.
    if (this.#run === run) run.launch.cgroup.kill();
  }

  async #launch(size: TerminalSize | undefined): Promise<Run> {
    this.#run = await startRun(this.#engine, this.record, {
      early: this.#takeEarly(),
      size,
      openLog: () => this.#openLog(),
      begun: ({ pid, startTime }, endpoints) =>
        this.#row.begin({
          pid,
          startTime,
          endpoints,
          restartCount: this.#restartCount,
          hasHealthCheck: healthPlan(this.record.config) !== undefined,
        }),
      listeners: this.audience,
    });
    for (const resolve of this.#settling.splice(0)) resolve();
    return this.#run;
  }

  /** The init that was given its spec already; one that was given none is ended. */
  #takeEarly(): HandedOver | undefined {
    const early = this.#early;
    this.#early = undefined;
    if (early === undefined || early.hasSpec) return early;
    early.abandon();
    void early.streams.close();
    return undefined;
  }

  /** The log, opened once and kept over restarts. */
  async #openLog(): Promise<LogSink> {
    this.#log ??= await openSink(this.#engine.root, this.record);
    return this.#log;
  }

  async #watchHealth(): Promise<void> {
    const plan = healthPlan(this.record.config);
    if (plan === undefined) return;
    const { watchHealth } = await import("./health.ts");
    if (this.#run === undefined) return;
    this.#health = watchHealth(this, plan, (health) => this.#row.health(health));
  }

  async #watchMemory(): Promise<void> {
    const run = this.#run;
    const directory = run?.launch.cgroup.directoryOf("memory");
    if (directory === undefined) return;
    const { tellOom } = await import("./oom.ts");
    if (this.#run === run) this.#oom = tellOom(directory, this.#descriptors, () => this.#row.outOfMemory());
  }

  /** From the start of a run to its end, and around again when a restart was asked for, or its policy wants it. */
  async #live(first: Run): Promise<void> {
    let run = first;
    for (;;) {
      const beganMs = performance.now();
      // Without it the container lives on, its health unknown.
      void this.#watchHealth().catch(ignore);
      // Of the first run it is watched once that has lived for a moment; without it the end tells.
      if (this.#isSettled) void this.#watchMemory().catch(ignore);
      const exit = await run.exited;
      // At once: systemd removes the empty cgroup of a scope by itself. What was heard before counts if it was quicker.
      const oomKilled = run.launch.cgroup.oomKilled() || this.record.runtime.oomKilled;
      await patiently(run.drained, run.streams);
      await patiently(run.streams.end());
      if (this.#log !== undefined) await patiently(endStreams(this.#log));
      const problem = await this.#releaseRun(run);
      const result = {
        ...(problem === undefined ? {} : { error: message(problem) }),
        exitCode: exit.status,
        oomKilled,
        finishedAt: timestamp(),
      };
      const isAsked = this.#restarts.length > 0;
      if (this.#removal !== undefined || !(isAsked || this.#wantsRestart(result))) {
        this.#rest(result);
        return;
      }
      this.#recordEnd("restarting", result);
      if (!isAsked) {
        // For those who followed this run it is over.
        this.audience.dismiss({ type: "exited", status: result.exitCode });
        if ((await this.#backOff.wait(performance.now() - beganMs)) === "stay") {
          this.#rest(result);
          return;
        }
      }
      this.#restartCount = this.#restarts.length > 0 ? 0 : this.#restartCount + 1;
      try {
        run = await this.#launch(undefined);
        for (const resolve of this.#restarts.splice(0)) resolve();
      } catch (error) {
        this.#rest({ ...result, error: message(error), exitCode: startError(error).exitStatus ?? 125 });
        return;
      }
    }
  }

  #wantsRestart({ exitCode }: RunEnd): boolean {
    if (this.#isShutdown) return false;
    const { wasStoppedByHand = false } = this.record.runtime;
    const end = { exitCode, restartCount: this.#restartCount, wasStoppedByHand };
    return wantsRestart(this.record.hostConfig.RestartPolicy, end);
  }

  async #releaseRun(run: Run): Promise<unknown> {
    this.#run = undefined;
    this.#health?.[Symbol.dispose]();
    this.#health = undefined;
    this.#oom?.[Symbol.dispose]();
    this.#oom = undefined;
    return await releaseRun(this.#engine, this.record, run);
  }

  /** The end: recorded first, then told, then tidied up. */
  #rest(result: RunEnd): void {
    endLog(this.#log);
    try {
      if (this.record.hostConfig.AutoRemove || this.#removal !== undefined) {
        this.#row.endRemoved(result, this.#isStopping, this.#removal);
      } else this.#recordEnd("exited", result);
    } catch (error) {
      // The row (if there is one) still names this process as keeper: when it has ended, the next command puts it right.
      this.#problem = error;
    }
    // Not before: whoever finds nobody here any more reads in the row how it ended.
    this.#door.shut();
    const error = this.#problem === undefined ? result.error : message(this.#problem);
    this.audience.dismiss({ type: "exited", status: result.exitCode, ...(error === undefined ? {} : { error }) });
    this.#resolveAtRest();
    this.#finish();
  }

  #recordEnd(to: "exited" | "restarting", end: RunEnd): void {
    const wasStopped = this.#isStopping;
    this.#isStopping = false;
    this.#row.end(to, end, wasStopped);
  }

  /** Nothing is known of the container any more: clients lose their supervisor, and the next command asks the kernel. */
  #giveUp(error: unknown): void {
    this.#problem = error;
    this.#door.shut();
    this.audience.dismiss(failure(error));
    this.#resolveAtRest();
    this.#finish();
  }

  /** A start that failed: Docker keeps the container as it was, with the error (`--rm` removes it). */
  #restAfterFailure(error: CtrError): void {
    this.#door.shut();
    try {
      this.#row.fail(error, this.#removal);
    } catch (problem) {
      // As in #rest; the client hears of the start's own failure.
      this.#problem = problem;
    }
    this.#resolveAtRest();
    this.#finish();
  }

  #finish(): void {
    this.#door.remove(this.record);
    // Whatever a client is still owed goes out before the process ends.
    void Promise.all([...this.#clients].map(delivered)).then(() => this.#resolveEnded());
  }
}

function self(): { readonly pid: number; readonly startTime: number } {
  return { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 };
}
