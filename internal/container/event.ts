/** What happens to a container, as `ctr events` tells it. */
import type { Engine } from "../db/engine.ts";
import { recordEvent } from "../db/events.ts";
import { endpointsOf } from "./networks.ts";
import type { ContainerRecord, ContainerState, EndpointRecord } from "./record.ts";

/**
 * Records an event of a container, with Docker's attributes: its labels, image and name, and what the action has of its
 * own. Inside the transaction of the change, if there is one.
 */
export function recordContainerEvent(
  engine: Engine,
  record: ContainerRecord,
  action: string,
  attributes: { readonly [name: string]: string } = {},
): void {
  const { Labels } = record.config;
  recordEvent(engine, {
    type: "container",
    action,
    id: record.id,
    attributes: { ...Labels, ...attributes, image: record.image, name: record.name },
  });
}

/** True while it has a first process. */
function hasProgram(state: ContainerState): boolean {
  return state === "running" || state === "paused";
}

/** What a move from one state to another is, in the words of Docker's events, and in their order. */
export function recordMove(engine: Engine, before: ContainerRecord, after: ContainerRecord): void {
  if (before.state === after.state) return;
  if (after.state === "paused") recordContainerEvent(engine, after, "pause");
  else if (before.state === "paused" && after.state === "running") recordContainerEvent(engine, after, "unpause");
  else if (after.state === "running") recordStart(engine, after);
  else if (hasProgram(before.state)) recordEnd(engine, before, after);
}

function recordStart(engine: Engine, record: ContainerRecord): void {
  const { mounts } = record.runtime;
  for (const one of endpointsOf(record)) recordNetwork(engine, record, "connect", one);
  for (const mount of mounts) {
    if (mount.Type !== "volume" || mount.Name === undefined) continue;
    recordEvent(engine, {
      type: "volume",
      action: "mount",
      id: mount.Name,
      attributes: {
        container: record.id,
        destination: mount.Destination,
        driver: "local",
        propagation: mount.Propagation,
        "read/write": String(mount.RW),
      },
    });
  }
  recordContainerEvent(engine, record, "start");
}

/** `before` had the network, `after` has the exit status. */
export function recordEnd(engine: Engine, before: ContainerRecord, after: ContainerRecord): void {
  const { exitCode, oomKilled, startedAt } = after.runtime;
  // A supervisor that has heard of it has told it.
  if (oomKilled && !before.runtime.oomKilled) recordContainerEvent(engine, after, "oom");
  const seconds = startedAt === undefined ? 0 : Math.max(0, Math.floor((Date.now() - Date.parse(startedAt)) / 1000));
  recordContainerEvent(engine, after, "die", { execDuration: String(seconds), exitCode: String(exitCode) });
  const { mounts } = before.runtime;
  for (const one of endpointsOf(before)) recordNetwork(engine, before, "disconnect", one);
  for (const mount of mounts) {
    if (mount.Type !== "volume" || mount.Name === undefined) continue;
    const attributes = { container: before.id, driver: "local" };
    recordEvent(engine, { type: "volume", action: "unmount", id: mount.Name, attributes });
  }
}

function recordNetwork(engine: Engine, record: ContainerRecord, action: string, endpoint: EndpointRecord): void {
  const { network, networkId = network } = endpoint;
  const attributes = { container: record.id, name: network, type: "bridge" };
  recordEvent(engine, { type: "network", action, id: networkId, attributes });
}
