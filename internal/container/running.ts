/** The running container that a user means, found by the store. */
import { type Engine, type EngineOptions, openEngine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { connectRunning, type ToContainer } from "./connect.ts";
import { currentRecord } from "./leftovers.ts";
import type { ContainerRecord } from "./record.ts";
import { findContainer } from "./store.ts";

/** A conversation with its supervisor. Throws `not-found`, and `conflict` if it does not run or is paused. */
export async function connectToRunning(options: EngineOptions, name: string): Promise<ToContainer> {
  using engine = openEngine(options);
  return await connectRunning(engine, await findRunning(engine, name));
}

async function findRunning(engine: Engine, name: string): Promise<ContainerRecord> {
  const record = await currentRecord(engine, findContainer(engine, name));
  if (record === undefined) throw new CtrError("not-found", `No such container: ${name}`);
  switch (record.state) {
    case "running":
      return record;
    case "paused":
      throw new CtrError("conflict", `Container ${name} is paused, unpause the container before exec`);
    case "restarting":
      throw new CtrError("conflict", `Container ${name} is restarting, wait until the container is running`);
    default:
      throw new CtrError("conflict", `container ${record.id} is not running`);
  }
}
