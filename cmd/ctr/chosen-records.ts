/** The whole records of the containers that `ps` is asked about, after what a crash has left was put right. */
import type { ContainerRecord } from "../../internal/container/record.ts";
import { areStartsNoted } from "../../internal/container/starting.ts";
import { isLive } from "../../internal/container/states.ts";
import { hasKeeper, listContainers } from "../../internal/container/store.ts";
import { type Engine, type EngineOptions, openEngine } from "../../internal/db/engine.ts";

/** The store, without starts that a crash has left half done. */
export async function openForRecords(options: EngineOptions): Promise<Engine> {
  const engine = openEngine(options);
  if (areStartsNoted(engine.state)) {
    const { collectStarts } = await import("../../internal/container/collect.ts");
    // What cannot be removed now is found again by the next command; it is none of the list's.
    collectStarts(engine);
  }
  return engine;
}

/** The containers asked for, as they really are. With `last` above 0 so many at most. */
export async function chosenRecords(
  engine: Engine,
  filters: readonly string[],
  isAll: boolean,
  last: number,
): Promise<readonly ContainerRecord[]> {
  const filter =
    filters.length === 0
      ? undefined
      : (await import("../../internal/container/filter.ts")).parseFilters(engine, filters);
  const records: ContainerRecord[] = [];
  for (const recorded of listContainers(engine)) {
    const record = await current(engine, recorded);
    if (record === undefined) continue;
    if (!isAll && filter?.asksForState !== true && !isLive(record.state)) continue;
    if (filter !== undefined && !filter.accepts(record)) continue;
    records.push(record);
    if (last > 0 && records.length === last) break;
  }
  return records;
}

/** As it really is: what a dead supervisor left is put right first, which needs more code than looking does. */
async function current(engine: Engine, record: ContainerRecord): Promise<ContainerRecord | undefined> {
  if (record.runtime.supervisorPid === 0 || hasKeeper(record.runtime)) return record;
  const { refresh } = await import("../../internal/container/collect.ts");
  return refresh(engine, record);
}
