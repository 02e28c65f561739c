/** `container prune`: every container at rest goes, with its last layers. */
import type { Engine } from "../db/engine.ts";
import { recordEvent } from "../db/events.ts";
import { collect, refresh } from "./collect.ts";
import { removeContainer } from "./remove.ts";
import { containerSizes } from "./sizes.ts";
import { isLive } from "./states.ts";
import { hasKeeper, listContainers } from "./store.ts";

export interface PrunedContainers {
  readonly ids: readonly string[];
  /** Bytes of the files they had written. */
  readonly reclaimed: number;
  /** Containers that could not be removed, each with the reason. */
  readonly problems: readonly unknown[];
}

/** False spares a container. */
export type AcceptsContainer = (container: {
  readonly createdMs: number;
  readonly labels: { readonly [name: string]: string };
}) => boolean;

/** Removes the containers that do not run and that `accepts` lets go. One that cannot be removed does not stop the rest. */
export async function pruneContainers(engine: Engine, accepts: AcceptsContainer): Promise<PrunedContainers> {
  const problems: unknown[] = collect(engine);
  const ids: string[] = [];
  let reclaimed = 0;
  for (const recorded of listContainers(engine)) {
    const record = refresh(engine, recorded);
    // With a keeper it is being started or removed by another command.
    if (record === undefined || isLive(record.state) || hasKeeper(record.runtime)) continue;
    if (!accepts({ createdMs: Date.parse(record.createdAt), labels: record.config.Labels })) continue;
    try {
      const { writable } = containerSizes(engine, record);
      await removeContainer(engine, record, { force: false, volumes: false });
      ids.push(record.id);
      reclaimed += writable;
    } catch (error) {
      problems.push(error);
    }
  }
  recordEvent(engine, { type: "container", action: "prune", id: "", attributes: { reclaimed: String(reclaimed) } });
  return { ids, reclaimed, problems };
}
