/**
 * What is done to a container that may be running: asked of its supervisor. One whose supervisor is gone (killed) is
 * first put right by `refresh`; what is then at rest needs nobody to ask.
 */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import type { FromSupervisor, ToSupervisor } from "../ipc/supervisor.ts";
import { afterSupervisor, refresh } from "./collect.ts";
import { connectSupervisor, type ToContainer } from "./connect.ts";
import type { ContainerRecord } from "./record.ts";
import { ensureStarted } from "./start.ts";
import { isLive } from "./states.ts";
import { findContainer } from "./store.ts";

export interface StopOptions {
  /** Instead of the container's own stop signal. */
  readonly signal?: number;
  /** Until SIGKILL; -1 waits for ever. Undefined: the container's own, else ten seconds. */
  readonly timeoutMs?: number;
  /** The machine goes down: restart policies hold after the boot. For `stopContainer`. */
  readonly isShutdown?: boolean;
}

/** The container a user means, as it really is now. Throws `not-found` (`No such container: x`). */
export function currentContainer(engine: Engine, nameOrId: string): ContainerRecord {
  const current = refresh(engine, findContainer(engine, nameOrId));
  if (current === undefined) throw new CtrError("not-found", `No such container: ${nameOrId}`);
  return current;
}

/** Stops it; one that is stopped already is fine. Resolves when it is at rest. */
export async function stopContainer(engine: Engine, nameOrId: string, options: StopOptions): Promise<void> {
  const record = currentContainer(engine, nameOrId);
  if (isLive(record.state)) await tell(engine, record, { type: "stop", ...options }, "is-fine");
}

/** Sends a signal to its first process. Throws `conflict` when it does not run. */
export async function killContainer(engine: Engine, nameOrId: string, signal: number): Promise<void> {
  const context = `cannot kill container: ${nameOrId}`;
  const record = currentContainer(engine, nameOrId);
  if (!isLive(record.state)) throw new CtrError("conflict", `${context}: container ${record.id} is not running`);
  const outcome = await tell(engine, record, { type: "kill", signal }, "is-fine");
  if (outcome === "gone" && signal !== SIGKILL)
    throw new CtrError("conflict", `${context}: container ${record.id} is not running`);
}

const SIGKILL = 9;

/** Freezes every process of it. */
export async function pauseContainer(engine: Engine, nameOrId: string): Promise<void> {
  const record = currentContainer(engine, nameOrId);
  if (record.state === "paused") throw new CtrError("conflict", `Container ${record.id} is already paused`);
  if (!isLive(record.state)) throw new CtrError("conflict", `Container ${record.id} is not running`);
  await tell(engine, record, { type: "pause" }, "is-error");
}

/** Lets a paused one go on. */
export async function unpauseContainer(engine: Engine, nameOrId: string): Promise<void> {
  const record = currentContainer(engine, nameOrId);
  if (record.state !== "paused") throw new CtrError("conflict", `Container ${record.id} is not paused`);
  await tell(engine, record, { type: "resume" }, "is-error");
}

/** Lets the supervisor of a container know that its record was changed. One that is gone meanwhile need not know. */
export async function tellChanged(engine: Engine, record: ContainerRecord): Promise<void> {
  if (isLive(record.state)) await converse(engine, record, { type: "reread" });
}

/** Stops and starts it again; one at rest is started. Resolves when it runs. */
export async function restartContainer(engine: Engine, nameOrId: string, options: StopOptions): Promise<void> {
  const record = currentContainer(engine, nameOrId);
  // Its own supervisor does it, unless that came to its end meanwhile.
  if (isLive(record.state) && (await tell(engine, record, { type: "restart", ...options }, "is-fine")) === "done")
    return;
  await ensureStarted(engine, currentContainer(engine, record.id));
}

/** The exit status: at once for one that does not run, otherwise when it has ended. */
export async function waitContainer(engine: Engine, nameOrId: string): Promise<number> {
  const record = currentContainer(engine, nameOrId);
  if (!isLive(record.state)) return record.runtime.exitCode;
  const answer = await converse(engine, record, { type: "wait" });
  if (answer?.type === "exited") return answer.status;
  // The supervisor went without a word: what is true is found out now.
  return afterSupervisor(engine, record)?.runtime.exitCode ?? KILLED_STATUS;
}

/** The ids of the programs of `exec` in it; null for none, and where its supervisor does not say in time. */
export async function execIds(engine: Engine, record: ContainerRecord): Promise<readonly string[] | null> {
  if (!isLive(record.state)) return null;
  // One of an older version refuses the question: the rest is told all the same.
  const asked = converse(engine, record, { type: "execs" }).catch(() => undefined);
  const answer = await Promise.race([asked, Bun.sleep(ANSWER_MS)]);
  return answer?.type === "execs" && answer.ids.length > 0 ? answer.ids : null;
}

/** A look at a container is not kept waiting by a supervisor that is in trouble. */
const ANSWER_MS = 2000;

/** Of a container that vanished under its waiter: everything of it was killed. */
const KILLED_STATUS = 137;

/**
 * One request and its answer. `gone` when the container came to rest by itself meanwhile: fine for a stop, an error
 * for a pause.
 */
async function tell(
  engine: Engine,
  record: ContainerRecord,
  request: ToSupervisor,
  whenGone: "is-fine" | "is-error",
): Promise<"done" | "gone"> {
  const answer = await converse(engine, record, request);
  if (answer?.type === "done") return "done";
  const now = afterSupervisor(engine, record);
  if (now !== undefined && isLive(now.state)) {
    throw new CtrError("unavailable", `the supervisor of container ${record.name} did not answer`);
  }
  if (whenGone === "is-error") throw new CtrError("conflict", `Container ${record.id} is not running`);
  return "gone";
}

/** Undefined when nobody listens, or the supervisor ended before it answered. Throws what it refuses. */
async function converse(
  engine: Engine,
  record: ContainerRecord,
  request: ToSupervisor,
): Promise<FromSupervisor | undefined> {
  let connection: ToContainer;
  try {
    connection = await connectSupervisor(engine, record);
  } catch (error) {
    if (error instanceof CtrError && error.kind === "unavailable") return undefined;
    throw error;
  }
  connection.send(request);
  // A connection that breaks is a supervisor that ended: the caller asks the kernel, which knows more than the error.
  const answer = await connection.receive().catch(() => undefined);
  connection.end();
  if (answer?.type === "failed") throw new CtrError("conflict", answer.message);
  return answer;
}
