/**
 * The recorded containers. A row is written in one transaction and changed only through `move` and `patchRuntime`.
 *
 * Every row that something is going on with has a keeper: the process that will bring it to rest (its supervisor, or
 * the command that removes it), named by pid and start time in `runtime.supervisorPid` and `supervisorStartTime`. A row
 * whose keeper is dead was left behind by a crash, and `collect.ts` puts it right.
 */

import { endingTransaction, transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { CtrError, withContext } from "../errors/error.ts";
import { isRunning } from "../sys/process.ts";
import { recordContainerEvent, recordMove } from "./event.ts";
import { generateId, generateName, isId, isIdPrefix, parseName } from "./names.ts";
import type { ContainerConfig, ContainerRecord, ContainerState, HostConfig, RuntimeRecord } from "./record.ts";
import { checkMove, isState } from "./states.ts";

interface Row {
  readonly id: string;
  readonly name: string;
  readonly image_id: string;
  readonly image: string;
  readonly created_at: string;
  readonly config: string;
  readonly host_config: string;
  readonly layers: string;
  readonly state: string;
  readonly runtime: string;
  readonly driver: string;
}

const COLUMNS = "id, name, image_id, image, created_at, config, host_config, layers, state, runtime, driver";

/** Only this file writes rows, so their JSON has the shape it was written with. */
function toRecord(row: Row): ContainerRecord {
  if (!isState(row.state)) throw new CtrError("internal", `container ${row.id} is recorded as ${row.state}`);
  return {
    id: row.id,
    name: row.name,
    imageId: row.image_id,
    image: row.image,
    createdAt: row.created_at,
    config: JSON.parse(row.config) as ContainerConfig,
    hostConfig: JSON.parse(row.host_config) as HostConfig,
    layers: JSON.parse(row.layers) as readonly string[],
    state: row.state,
    runtime: JSON.parse(row.runtime) as RuntimeRecord,
    ...driverOf(row),
  };
}

function driverOf({ driver }: { readonly driver: string }): Pick<ContainerRecord, "driver"> {
  return driver === "vfs" || driver === "btrfs" ? { driver } : {};
}

/** A process named for good: the pid may be given to another one, the pair may not. */
export interface Keeper {
  readonly pid: number;
  readonly startTime: number;
}

/** The fields of a row's runtime that name its keeper. */
export function keeperFields(keeper: Keeper | undefined): Pick<RuntimeRecord, "supervisorPid" | "supervisorStartTime"> {
  return { supervisorPid: keeper?.pid ?? 0, supervisorStartTime: keeper?.startTime ?? 0 };
}

/** True if somebody still looks after the row. */
export function hasKeeper(runtime: RuntimeRecord): boolean {
  return isRunning(runtime.supervisorPid, runtime.supervisorStartTime);
}

/** A container as `insertContainer` takes it: without an id it gets one, without a name too. */
export type NewContainer = Omit<ContainerRecord, "id" | "name" | "state"> & {
  readonly id?: string;
  readonly name?: string;
};

/** How many generated names are tried before one is asked of the user. */
const MAX_NAME_ATTEMPTS = 32;

/**
 * Records a new container as `created`: id and name are taken in the same transaction. Throws `invalid` for a bad name
 * and `conflict`, in Docker's words, for a taken one.
 */
export function insertContainer(engine: Engine, container: NewContainer): ContainerRecord {
  const wanted = container.name === undefined ? undefined : parseName(container.name);
  return transaction(engine.db, () => {
    const id = container.id ?? generateId();
    const name = wanted ?? freeName(engine);
    const holder = idOfName(engine, name);
    if (holder !== undefined) throw nameTaken(name, holder);
    const record: ContainerRecord = { ...container, id, name, state: "created" };
    // The store's driver; a store that has none yet (its first image has no layer) gets the usual one.
    const row = engine.db
      .query<{ driver: string }, string[]>(
        `INSERT INTO container (${COLUMNS})
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce((SELECT driver FROM storage), 'overlay')) RETURNING driver`,
      )
      .get(
        id,
        name,
        record.imageId,
        record.image,
        record.createdAt,
        JSON.stringify(record.config),
        JSON.stringify(record.hostConfig),
        JSON.stringify(record.layers),
        record.state,
        JSON.stringify(record.runtime),
      );
    recordContainerEvent(engine, record, "create");
    return row === null ? record : { ...record, ...driverOf(row) };
  });
}

function freeName(engine: Engine): string {
  for (let attempt = 0; attempt < MAX_NAME_ATTEMPTS; attempt++) {
    const name = generateName(attempt);
    if (idOfName(engine, name) === undefined) return name;
  }
  throw new CtrError("unavailable", "no free name found: give one with --name");
}

/** The id of the container with exactly this name. */
export function idOfName(engine: Engine, name: string): string | undefined {
  return engine.db.query<{ id: string }, [string]>("SELECT id FROM container WHERE name = ?").get(name)?.id;
}

function nameTaken(name: string, id: string): CtrError {
  return new CtrError(
    "conflict",
    `Conflict. The container name "/${name}" is already in use by container "${id}". ` +
      "You have to remove (or rename) that container to be able to reuse that name.",
  );
}

/** The container with exactly this id. */
export function containerById(engine: Engine, id: string): ContainerRecord | undefined {
  const row = engine.db.query<Row, [string]>(`SELECT ${COLUMNS} FROM container WHERE id = ?`).get(id);
  return row === null ? undefined : toRecord(row);
}

/**
 * The container a user means: a whole id, an exact name (with or without the slash), or the unique beginning of an id.
 * Throws `not-found` (`No such container: x`), and `invalid` for a beginning of several.
 */
export function findContainer(engine: Engine, nameOrId: string): ContainerRecord {
  const name = nameOrId.startsWith("/") ? nameOrId.slice(1) : nameOrId;
  const found =
    (isId(name) ? containerById(engine, name) : undefined) ?? byName(engine, name) ?? byPrefix(engine, name);
  if (found === undefined) throw new CtrError("not-found", `No such container: ${nameOrId}`);
  return found;
}

function byName(engine: Engine, name: string): ContainerRecord | undefined {
  const row = engine.db.query<Row, [string]>(`SELECT ${COLUMNS} FROM container WHERE name = ?`).get(name);
  return row === null ? undefined : toRecord(row);
}

function byPrefix(engine: Engine, prefix: string): ContainerRecord | undefined {
  if (!isIdPrefix(prefix)) return undefined;
  const rows = engine.db
    .query<Row, [string, string]>(`SELECT ${COLUMNS} FROM container WHERE id >= ? AND id < ? LIMIT 2`)
    // "g" comes right after the last hexadecimal digit.
    .all(prefix, `${prefix}g`);
  if (rows.length > 1) throw new CtrError("invalid", `multiple IDs found with provided prefix: ${prefix}`);
  return rows[0] === undefined ? undefined : toRecord(rows[0]);
}

/** Every container, newest first, as recorded; `refresh` of collect.ts asks the kernel about one. */
export function listContainers(engine: Engine): ContainerRecord[] {
  return engine.db
    .query<Row, []>(`SELECT ${COLUMNS} FROM container ORDER BY created_at DESC, id`)
    .all()
    .map(toListedRecord);
}

/** As `toRecord`; what a list hardly ever looks at, some kilobytes a row, is parsed when somebody looks. */
function toListedRecord(row: Row): ContainerRecord {
  if (!isState(row.state)) throw new CtrError("internal", `container ${row.id} is recorded as ${row.state}`);
  let hostConfig: HostConfig | undefined;
  let layers: readonly string[] | undefined;
  return {
    id: row.id,
    name: row.name,
    imageId: row.image_id,
    image: row.image,
    createdAt: row.created_at,
    config: JSON.parse(row.config) as ContainerConfig,
    get hostConfig() {
      hostConfig ??= JSON.parse(row.host_config) as HostConfig;
      return hostConfig;
    },
    get layers() {
      layers ??= JSON.parse(row.layers) as readonly string[];
      return layers;
    },
    state: row.state,
    runtime: JSON.parse(row.runtime) as RuntimeRecord,
    ...driverOf(row),
  };
}

/** What a change of a row may be conditioned on: false leaves the row alone. */
export type Condition = (record: ContainerRecord) => boolean;

/** `supervisorPid` and `supervisorStartTime` are set by `keeper`, so that no change forgets them. */
export type RuntimePatch = Partial<
  Omit<RuntimeRecord, "supervisorPid" | "supervisorStartTime" | "endpoint" | "otherEndpoints">
> & {
  readonly keeper?: Keeper;
  /** Given as undefined: the container has none any more. */
  readonly endpoint?: RuntimeRecord["endpoint"] | undefined;
  /** As `endpoint`, with which they go. */
  readonly otherEndpoints?: RuntimeRecord["otherEndpoints"] | undefined;
};

/**
 * Moves a container to another state and records what its supervisor knows, in one transaction that reads the current
 * state itself. At rest (`exited`, `dead`) the row has no keeper; otherwise it keeps the one it has unless the patch
 * names another. Throws `conflict` where the table of states has no such way, `not-found` for a removed container.
 * With `condition`, a row that does not meet it is left alone and undefined is returned.
 */
export function move(engine: Engine, id: string, to: ContainerState, patch?: RuntimePatch): ContainerRecord;
export function move(
  engine: Engine,
  id: string,
  to: ContainerState,
  patch: RuntimePatch,
  condition: Condition,
): ContainerRecord | undefined;
export function move(
  engine: Engine,
  id: string,
  to: ContainerState,
  patch: RuntimePatch = {},
  condition?: Condition,
): ContainerRecord | undefined {
  // What comes to its end may take the room that is kept for that; what begins may not.
  const isEnding = to !== "running" && to !== "restarting";
  return change(engine, id, condition, isEnding, (record) => {
    checkMove(record.name, record.state, to);
    const atRest = to === "exited" || to === "dead";
    return { ...record, state: to, runtime: patched(record.runtime, atRest ? { ...patch, keeper: NOBODY } : patch) };
  });
}

/** As `move`, staying in the state: what is known of the run changed. */
export function patchRuntime(engine: Engine, id: string, patch: RuntimePatch): ContainerRecord;
export function patchRuntime(
  engine: Engine,
  id: string,
  patch: RuntimePatch,
  condition: Condition,
): ContainerRecord | undefined;
export function patchRuntime(
  engine: Engine,
  id: string,
  patch: RuntimePatch,
  condition?: Condition,
): ContainerRecord | undefined {
  const isEnding = patch.keeper === undefined || patch.keeper.pid === NOBODY.pid;
  return change(engine, id, condition, isEnding, (record) => ({ ...record, runtime: patched(record.runtime, patch) }));
}

/** The keeper of a row that nobody needs to look after. */
export const NOBODY: Keeper = { pid: 0, startTime: 0 };

function patched(runtime: RuntimeRecord, patch: RuntimePatch): RuntimeRecord {
  const { keeper, endpoint = runtime.endpoint, otherEndpoints = runtime.otherEndpoints, ...rest } = patch;
  const { endpoint: _, otherEndpoints: __, ...old } = runtime;
  const isCleared = "endpoint" in patch && patch.endpoint === undefined;
  const hasOthers = otherEndpoints !== undefined && otherEndpoints.length > 0 && !isCleared;
  return {
    ...old,
    ...rest,
    ...(endpoint === undefined || isCleared ? {} : { endpoint }),
    ...(hasOthers ? { otherEndpoints } : {}),
    ...(keeper === undefined ? {} : keeperFields(keeper)),
  };
}

function change(
  engine: Engine,
  id: string,
  condition: Condition | undefined,
  isEnding: boolean,
  next: (record: ContainerRecord) => ContainerRecord,
): ContainerRecord | undefined {
  const within = isEnding ? endingTransaction : transaction;
  return within(engine.db, () => {
    const record = containerById(engine, id);
    if (record === undefined) throw new CtrError("not-found", `No such container: ${id}`);
    if (condition !== undefined && !condition(record)) return undefined;
    const changed = next(record);
    engine.db
      .query("UPDATE container SET state = ?, runtime = ? WHERE id = ?")
      .run(changed.state, JSON.stringify(changed.runtime), id);
    recordMove(engine, record, changed);
    return changed;
  });
}

/**
 * Takes a stopped container for a start: from here on `keeper` answers for it. Claiming again changes nothing; throws
 * `conflict` when another process answers for it.
 */
export function claim(engine: Engine, id: string, keeper: Keeper): ContainerRecord {
  return transaction(engine.db, () => {
    const record = containerById(engine, id);
    if (record === undefined) throw new CtrError("not-found", `No such container: ${id}`);
    if (record.state !== "created" && record.state !== "exited") {
      throw new CtrError("conflict", `container ${record.name} is ${record.state}: it cannot be started`);
    }
    const { supervisorPid, supervisorStartTime } = record.runtime;
    const isOurs = supervisorPid === keeper.pid && supervisorStartTime === keeper.startTime;
    if (!isOurs && hasKeeper(record.runtime)) {
      throw new CtrError("conflict", `container ${record.name} is being started by another command`);
    }
    return patchRuntime(engine, id, { keeper, error: "" });
  });
}

/** Changes a container's configuration, in one transaction that reads the row itself. What `change` throws changes nothing. */
export function reconfigure(
  engine: Engine,
  id: string,
  change: (record: ContainerRecord) => HostConfig,
): ContainerRecord {
  return transaction(engine.db, () => {
    const changed = changeHostConfig(engine, id, change);
    recordContainerEvent(engine, changed, "update");
    return changed;
  });
}

/** As `reconfigure`, for its networks: what happens there are events of the networks. */
export function reconfigureNetworks(
  engine: Engine,
  id: string,
  change: (record: ContainerRecord) => HostConfig,
): ContainerRecord {
  return transaction(engine.db, () => changeHostConfig(engine, id, change));
}

function changeHostConfig(
  engine: Engine,
  id: string,
  change: (record: ContainerRecord) => HostConfig,
): ContainerRecord {
  const record = containerById(engine, id);
  if (record === undefined) throw new CtrError("not-found", `No such container: ${id}`);
  const changed = { ...record, hostConfig: change(record) };
  engine.db.query("UPDATE container SET host_config = ? WHERE id = ?").run(JSON.stringify(changed.hostConfig), id);
  return changed;
}

/**
 * Gives a container another name, and returns it as it is then. Throws in Docker's words: `invalid` for a bad name and
 * for its own, `conflict` for one that is taken and for a container that is being removed.
 */
export function renameContainer(engine: Engine, id: string, to: string): ContainerRecord {
  if (to === "" || to === "/") throw new CtrError("invalid", "Neither old nor new names may be empty");
  const name = allocated(() => parseName(to.startsWith("/") ? to : `/${to}`));
  return transaction(engine.db, () => {
    const record = containerById(engine, id);
    if (record === undefined) throw new CtrError("not-found", `No such container: ${id}`);
    if (record.state === "removing" || record.state === "dead") {
      throw new CtrError("conflict", "Container is marked for removal and cannot be renamed");
    }
    if (record.name === name) {
      throw new CtrError("invalid", "Renaming a container with the same name as its current name");
    }
    const holder = idOfName(engine, name);
    allocated(() => {
      if (holder !== undefined) throw nameTaken(name, holder);
    });
    engine.db.query("UPDATE container SET name = ? WHERE id = ?").run(name, id);
    const renamed = { ...record, name };
    recordContainerEvent(engine, renamed, "rename", { oldName: `/${record.name}` });
    return renamed;
  });
}

function allocated<T>(allocate: () => T): T {
  try {
    return allocate();
  } catch (error) {
    throw withContext("Error when allocating new name", error);
  }
}

/** Lets a row go; everything of the container must be gone already. Succeeds when it is gone. Inside a transaction. */
export function forget(engine: Engine, record: ContainerRecord): void {
  const { changes } = engine.db.query("DELETE FROM container WHERE id = ?").run(record.id);
  if (changes > 0) recordContainerEvent(engine, record, "destroy");
}

/** True if another container is recorded as sharing a namespace of this one. */
export function isDonor(engine: Engine, id: string): boolean {
  return (
    engine.db.query("SELECT 1 FROM container WHERE host_config LIKE ? LIMIT 1").get(`%"container:${id}"%`) !== null
  );
}

/** The ids of the rows that have a keeper, with it: an index of only those, so that asking costs next to nothing. */
export function keptContainers(engine: Engine): readonly { readonly id: string; readonly keeper: Keeper }[] {
  return engine.db
    .query<{ id: string; pid: number; startTime: number }, []>(
      `SELECT id, json_extract(runtime, '$.supervisorPid') AS pid,
              json_extract(runtime, '$.supervisorStartTime') AS startTime
         FROM container WHERE json_extract(runtime, '$.supervisorPid') > 0`,
    )
    .all()
    .map((row) => ({ id: row.id, keeper: { pid: row.pid, startTime: row.startTime } }));
}
