/**
 * From a runtime-spec to a running process: the cgroup, the namespaces, `ctr init` inside them, and the conversation with
 * it until it has become the program. Knows no image and no Docker flag.
 */
import { type Cgroup, createCgroup } from "../cgroups/cgroup.ts";
import { parseSystemdPath, type ScopePlace } from "../cgroups/systemd/place.ts";
import { CtrError } from "../errors/error.ts";
import { BlockingConnection } from "../ipc/blocking.ts";
import type { Connection, Conversation } from "../ipc/connection.ts";
import {
  type ContainerName,
  createMessage,
  decodeFromInit,
  type FromInit,
  INIT_CONVERSATION,
  type ToInit,
} from "../ipc/init.ts";
import type { InterfaceSetup } from "../ipc/interface-setup.ts";
import type { Resources, Spec } from "../spec/runtime.ts";
import type { Fd } from "../sys/fd.ts";
import { pidfdGetfd, processStartTime } from "../sys/process.ts";
import { asksForIdMap } from "./asks-for-id-map.ts";
import { atStart, beforeStart, type Limited, whenReady } from "./late-limits.ts";
import { startFailure } from "./start-failure.ts";
import { type InitExtras, type StandardFds, spawnInit, type WaitingInit } from "./waiting-init.ts";

/** A container between clone and execve. */
export interface Launch extends Disposable {
  readonly pid: number;
  /** Clock ticks since boot: names the process for good, together with the pid. */
  readonly startTime: number;
  readonly pidfd: Fd;
  readonly cgroup: Cgroup;
  /**
   * For a spec with hooks that run outside (`hasRuntimeHooks`), before anything else: resolves when it is their turn.
   * `proceed` says that they have run.
   */
  prepared(): Promise<void>;
  proceed(): void;
  /** Gives init its network; without a setup it has loopback only. To be called once. */
  provideNetwork(setup?: InterfaceSetup, others?: readonly InterfaceSetup[]): void;
  /** Resolves when everything but the program is in place, with the terminal's master if there is one. */
  ready(): Promise<{ readonly terminal?: Fd }>;
  /** Resolves when the program runs. Throws with exit status 126 or 127 when it cannot. */
  start(): Promise<void>;
  /** Instead of `start`: leaves init to hold at its listener until `startHeld` comes. Resolves when it does. */
  hold(): Promise<void>;
  /** Ends init and everything in the cgroup, and removes it. For a start that failed; its caller reaps the pid. */
  abort(): void;
}

/** What a container is given besides its spec and its streams. */
export interface LaunchExtras extends InitExtras {
  /** Told to hooks that init runs. */
  readonly container?: ContainerName;
  /** For a caller that does nothing else: the conversation waits in read(2), and needs no event loop. */
  readonly isBlocking?: boolean;
}

/** Starts init in the spec's namespaces and cgroup and hands it the spec. Throws when that much cannot be had. */
export async function launch(spec: Spec, stdio: StandardFds, extras: LaunchExtras = {}): Promise<Launch> {
  const namespaces = spec.linux?.namespaces ?? [];
  const start = (given: InitExtras) => (cgroup: Cgroup) => spawnInit(namespaces, cgroup, stdio, given);
  if (!namespaces.some(({ type }) => type === "user") && !(spec.mounts ?? []).some(asksForIdMap))
    return await converse(await startIn(spec, start(extras)), spec, spec, extras);
  const { prepareOutside } = await import("./outside.ts");
  using prepared = prepareOutside(spec, stdio, extras);
  const waiting = await startIn(spec, start({ ...extras, outside: prepared.start }));
  try {
    prepared.limit(waiting.pid);
  } catch (error) {
    waiting.abandon();
    throw error;
  }
  return await converse(waiting, spec, prepared.spec, extras);
}

/** Init, started by `start` in the spec's cgroup with its limits. */
async function startIn(spec: Spec, start: (cgroup: Cgroup) => WaitingInit): Promise<WaitingInit> {
  const path = spec.linux?.cgroupsPath;
  if (path === undefined) throw new CtrError("invalid", "the container has no cgroup path");
  const scope = parseSystemdPath(path);
  if (scope !== undefined) return await startInScope(scope, spec, start);
  const cgroup = createCgroup(path, beforeStart(spec));
  try {
    return start(cgroup);
  } catch (error) {
    cgroup.destroy();
    throw error;
  }
}

/** The same in a scope of systemd's. */
async function startInScope(
  place: ScopePlace,
  spec: Spec,
  start: (cgroup: Cgroup) => WaitingInit,
): Promise<WaitingInit> {
  const { createScope, limitScope } = await import("../cgroups/systemd/scope.ts");
  const scope = createScope(place);
  let waiting: WaitingInit;
  try {
    waiting = start(scope.cgroup);
  } finally {
    // Without a process in it the scope ends by itself.
    scope.leave();
  }
  try {
    limitScope(place, scope.cgroup, beforeStart(spec));
    return waiting;
  } catch (error) {
    waiting.abandon();
    throw error;
  }
}

/** Goes on with an init that was handed its spec, of which these are the limits: set while init is at work. */
export async function launchWaiting(waiting: WaitingInit, spec: Limited): Promise<Launch> {
  const launched = await converse(waiting, spec, undefined, {});
  try {
    waiting.cgroup.update(beforeStart(spec));
    return launched;
  } catch (error) {
    waiting.abandon();
    throw error;
  }
}

/** Hands the spec to an init that was born before it was checked; its limits are set while it is at work. */
export async function launchBorn(waiting: WaitingInit, spec: Spec, extras: LaunchExtras): Promise<Launch> {
  const launched = await converse(waiting, spec, spec, extras);
  try {
    waiting.cgroup.update(beforeStart(spec));
    return launched;
  } catch (error) {
    waiting.abandon();
    throw error;
  }
}

/** The conversation with init; `create` is what it is told first, unless it knows already. */
async function converse(
  waiting: WaitingInit,
  limited: Limited,
  create: Spec | undefined,
  { preserved = [], container, isBlocking = false }: LaunchExtras,
): Promise<Launch> {
  try {
    const conversation = { ...INIT_CONVERSATION, decode: decodeFromInit, hasGreeted: create === undefined };
    const control = await connectTo(waiting.control, conversation, isBlocking);
    if (create !== undefined) control.send(createMessage(create, container));
    return new Launched(waiting, control, { ready: whenReady(limited), start: atStart(limited) }, preserved.length);
  } catch (error) {
    waiting.abandon();
    throw error;
  }
}

type Control = Pick<Connection<FromInit, ToInit>, "send" | "receive" | "end">;

async function connectTo(control: Fd, conversation: Conversation<FromInit>, isBlocking: boolean): Promise<Control> {
  if (isBlocking) return new BlockingConnection<FromInit, ToInit>(control, conversation);
  const { connectFd } = await import("../ipc/connection.ts");
  return await connectFd<FromInit, ToInit>(control.take(), conversation);
}

const WORDLESS = "init ended without a word";

/** Limits that cannot be set from the beginning. */
interface LateLimits {
  readonly ready: Resources | undefined;
  readonly start: Resources | undefined;
}

class Launched implements Launch {
  readonly pid: number;
  readonly startTime: number;
  readonly pidfd: Fd;
  readonly cgroup: Cgroup;
  readonly #control: Control;
  readonly #late: LateLimits;
  readonly #preserved: number;

  constructor(init: WaitingInit, control: Control, late: LateLimits, preserved: number) {
    this.#late = late;
    this.#preserved = preserved;
    this.pid = init.pid;
    this.pidfd = init.pidfd;
    this.startTime = processStartTime(init.pid) ?? 0;
    this.cgroup = init.cgroup;
    this.#control = control;
  }

  provideNetwork(setup?: InterfaceSetup, others: readonly InterfaceSetup[] = []): void {
    if (setup === undefined) this.#control.send({ type: "network" });
    else this.#control.send({ type: "network", interface: setup, ...(others.length === 0 ? {} : { others }) });
  }

  async prepared(): Promise<void> {
    const message = await this.#control.receive();
    if (message?.type === "prepared") return;
    if (message?.type === "failed") throw startFailure(message);
    throw new CtrError("internal", message === undefined ? WORDLESS : `init said ${message.type} before its hooks`);
  }

  proceed(): void {
    this.#control.send({ type: "proceed" });
  }

  async ready(): Promise<{ readonly terminal?: Fd }> {
    const message = await this.#control.receive();
    if (message === undefined) throw new CtrError("internal", WORDLESS);
    if (message.type === "failed") throw startFailure(message);
    if (message.type !== "ready") throw new CtrError("internal", `init said ${message.type} before it was ready`);
    if (this.#late.ready !== undefined) this.cgroup.update(this.#late.ready);
    if (message.terminalFd === undefined) return {};
    return { terminal: pidfdGetfd(this.pidfd.number, message.terminalFd) };
  }

  async start(): Promise<void> {
    this.#control.send({ type: "start", ...this.#forProgram() });
    const message = await this.#control.receive();
    this.#control.end();
    // The end of the stream is execve: the descriptor is close-on-exec.
    if (message === undefined) {
      if (this.#late.start !== undefined) this.cgroup.update(this.#late.start);
      return;
    }
    if (message.type === "failed") throw startFailure(message);
    throw new CtrError("internal", `init said ${message.type} after start`);
  }

  async hold(): Promise<void> {
    this.#control.send({ type: "hold", ...this.#forProgram() });
    const message = await this.#control.receive();
    this.#control.end();
    if (message === undefined) return;
    if (message.type === "failed") throw startFailure(message);
    throw new CtrError("internal", `init said ${message.type} instead of holding`);
  }

  #forProgram(): { readonly preserved?: number } {
    return this.#preserved === 0 ? {} : { preserved: this.#preserved };
  }

  abort(): void {
    this.#control.end();
    this.cgroup.destroy();
  }

  [Symbol.dispose](): void {
    this.pidfd.close();
  }
}
