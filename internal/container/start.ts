/** The client's half of a start: a supervisor, the container claimed for it, and the conversation with it. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { type Connection, connectFd, connectUnix } from "../ipc/connection.ts";
import {
  type FromSupervisor,
  type Streams,
  SUPERVISOR_CLIENT,
  supervisorSocket,
  type TerminalSize,
  type ToSupervisor,
} from "../ipc/supervisor.ts";
import { handOver } from "../runtime/hand-over.ts";
import type { Spec } from "../spec/runtime.ts";
import type { ContainerRecord } from "./record.ts";
import { type NewSupervisor, spawnSupervisor } from "./spawn-supervisor.ts";
import { claim } from "./store.ts";

/** The client's end of a conversation with a supervisor. */
export type ToContainer = Connection<FromSupervisor, ToSupervisor>;

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
  supervisor: NewSupervisor,
  id: string,
  { streams, size, spec }: StartOptions,
): Promise<ToContainer> {
  const hasSpec = supervisor.init !== undefined && spec !== undefined;
  if (hasSpec) handOver(supervisor.init.number, spec);
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
  return connection;
}

/** Starts a container at rest; the answer is the connection's first message. Throws `conflict` if it is not at rest. */
export async function beginStart(
  engine: Engine,
  record: ContainerRecord,
  options: StartOptions = {},
): Promise<ToContainer> {
  const supervisor = spawnSupervisor(engine);
  try {
    claim(engine, record.id, supervisor.keeper);
  } catch (error) {
    supervisor.socket.close();
    throw error;
  }
  return await sendStart(supervisor, record.id, options);
}

/** Starts a container at rest and returns when it runs. Throws why it does not, with Docker's exit status. */
export async function startContainer(engine: Engine, record: ContainerRecord): Promise<void> {
  const connection = await beginStart(engine, record);
  try {
    await whenStarted(connection);
  } finally {
    connection.end();
  }
}

/** Waits for the answer to `start` or `exec`; the warnings that came with it. Throws the failure. */
export async function whenStarted(connection: ToContainer): Promise<readonly string[]> {
  const message = await connection.receive();
  if (message?.type === "started") return message.warnings ?? [];
  throw startFailure(message);
}

/** What a message that is not `started` means. */
export function startFailure(message: FromSupervisor | undefined): CtrError {
  if (message === undefined) return new CtrError("unavailable", "the supervisor ended before the container ran");
  if (message.type !== "failed") return new CtrError("internal", `the supervisor said ${message.type} to a start`);
  return new CtrError("invalid", message.message, { exitStatus: message.exitStatus });
}

/** A conversation with the supervisor of a running container. Throws `conflict` when that came to its end meanwhile. */
export async function connectRunning(engine: Engine, record: ContainerRecord): Promise<ToContainer> {
  try {
    return await connectSupervisor(engine, record);
  } catch (error) {
    if (!(error instanceof CtrError) || error.kind !== "unavailable") throw error;
    throw new CtrError("conflict", `container ${record.id} is not running`, { cause: error });
  }
}

/** A conversation with the supervisor of a container. Throws `unavailable` if nobody answers. */
export async function connectSupervisor(engine: Engine, record: ContainerRecord): Promise<ToContainer> {
  return await connectUnix<FromSupervisor, ToSupervisor>(supervisorSocket(engine.state, record.id), SUPERVISOR_CLIENT);
}
