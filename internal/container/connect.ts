/** The client's end of a conversation with a supervisor that runs. What `exec` needs, and no more. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { type Connection, connectUnix } from "../ipc/connection.ts";
import { type FromSupervisor, SUPERVISOR_CLIENT, supervisorSocket, type ToSupervisor } from "../ipc/supervisor.ts";
import { linkedContainer } from "./name-links.ts";
import type { ContainerRecord } from "./record.ts";

/** The client's end of a conversation with a supervisor. */
export type ToContainer = Connection<FromSupervisor, ToSupervisor>;

/** Waits for the answer to `start` or `exec`; the warnings that came with it. Throws the failure. */
export async function whenStarted(connection: ToContainer): Promise<readonly string[]> {
  const message = await connection.receive();
  if (message?.type === "started") return message.warnings ?? [];
  throw startFailure(message);
}

/** What a message that is not `started` means. */
export function startFailure(message: FromSupervisor | undefined): CtrError {
  if (message === undefined) return new CtrError("unavailable", "the supervisor ended before the container ran");
  if (message.type === "not-meant") return new NotMeant();
  if (message.type !== "failed") return new CtrError("internal", `the supervisor said ${message.type} to a start`);
  return new CtrError("invalid", message.message, { exitStatus: message.exitStatus });
}

/** The supervisor that was found by a name looks after another container than the one that is called so. */
export class NotMeant extends CtrError {
  constructor() {
    super("not-found", "the name means another container");
  }
}

/**
 * A conversation with the supervisor that was last known to look after a container of this name or id; undefined if there
 * is none. Its request says what is `meant`, and `NotMeant` is thrown where its answer is looked at.
 */
export async function connectByName(state: string, name: string): Promise<ToContainer | undefined> {
  const id = linkedContainer(state, name);
  if (id === undefined) return undefined;
  try {
    return await connectUnix<FromSupervisor, ToSupervisor>(supervisorSocket(state, id), SUPERVISOR_CLIENT);
  } catch (error) {
    if (error instanceof CtrError && error.kind === "unavailable") return undefined;
    throw error;
  }
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
