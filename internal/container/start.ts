/** The client's half of a start: a supervisor, the container claimed for it, and the conversation with it. */
import type { Engine } from "../db/engine.ts";
import { connectFd } from "../ipc/connection.ts";
import {
  type FromSupervisor,
  type Streams,
  SUPERVISOR_CLIENT,
  type TerminalSize,
  type ToSupervisor,
} from "../ipc/supervisor.ts";
import { handOver } from "../runtime/hand-over.ts";
import type { Spec } from "../spec/runtime.ts";
import { type ToContainer, whenStarted } from "./connect.ts";
import { containerName } from "./names.ts";
import type { ContainerRecord } from "./record.ts";
import { dismiss, type NewSupervisor, spawnSupervisor } from "./spawn-supervisor.ts";
import { isLive } from "./states.ts";
import { claim, containerById } from "./store.ts";

export interface StartOptions {
  /** What the client wants to be attached to from the first byte on; without it the connection ends once it runs. */
  readonly streams?: Streams | undefined;
  readonly size?: TerminalSize | undefined;
  /** For the init that its supervisor was born with. */
  readonly spec?: Spec | undefined;
}

/**
 * Sends `start` to a new supervisor whose container has it as keeper already. The answer (`started` or `failed`) is the
 * first message of the connection.
 */
export async function sendStart(
  engine: Engine,
  supervisor: NewSupervisor,
  id: string,
  { streams, size, spec }: StartOptions,
): Promise<ToContainer> {
  const hasSpec = supervisor.init !== undefined && spec !== undefined;
  if (hasSpec) handOver(supervisor.init.number, spec, containerName(engine, id));
  supervisor.init?.close();
  const fd = supervisor.socket.take();
  const connection = await connectFd<FromSupervisor, ToSupervisor>(fd, SUPERVISOR_CLIENT);
  connection.send({
    type: "start",
    id,
    ...(streams === undefined ? {} : { streams }),
    ...(size === undefined ? {} : { size }),
    hasSpec,
  });
  // The supervisor has everything: the mount that it was started from may end, which takes a moment.
  supervisor.executable.close();
  return connection;
}

/** Starts a container at rest; the answer is the connection's first message. Throws `conflict` if it is not at rest. */
export async function beginStart(
  engine: Engine,
  record: ContainerRecord,
  options: StartOptions = {},
): Promise<ToContainer> {
  return await sendStart(engine, claimed(engine, record.id), record.id, options);
}

/** A new supervisor that has the container. */
function claimed(engine: Engine, id: string): NewSupervisor {
  const supervisor = spawnSupervisor(engine);
  try {
    claim(engine, id, supervisor.keeper);
    return supervisor;
  } catch (error) {
    dismiss(supervisor);
    throw error;
  }
}

/** Starts a container at rest and returns when it runs. Throws why it does not, with Docker's exit status. */
export async function startContainer(engine: Engine, record: ContainerRecord): Promise<void> {
  const connection = await beginStart(engine, record);
  await ended(connection);
}

async function ended(connection: ToContainer): Promise<void> {
  try {
    await whenStarted(connection);
  } finally {
    connection.end();
  }
}

/** As `startContainer`; one that runs by then, or that another command is starting, is what was wanted. */
export async function ensureStarted(engine: Engine, record: ContainerRecord): Promise<void> {
  for (let current = record; !isLive(current.state); ) {
    let supervisor: NewSupervisor;
    try {
      supervisor = claimed(engine, current.id);
    } catch (error) {
      const { awaitOtherStart } = await import("./await-start.ts");
      const hasWaited = awaitOtherStart(engine, current.id);
      const now = containerById(engine, current.id);
      if (now === undefined || !(hasWaited || isLive(now.state))) throw error;
      current = now;
      continue;
    }
    return await ended(await sendStart(engine, supervisor, current.id, {}));
  }
}
