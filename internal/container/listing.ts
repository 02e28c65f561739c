/**
 * What `ps` shows of the containers, read from an index of just that: records are some kilobytes of JSON each, and a list
 * is to be quick with hundreds of them.
 */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { areAllRunning } from "../sys/process.ts";
import type { BoundPort, ContainerConfig, ContainerState, Health } from "./record.ts";
import { isLive, isState } from "./states.ts";

/** A container in a list; each field is its record's. */
export interface ListedContainer {
  readonly id: string;
  readonly name: string;
  readonly imageId: string;
  readonly image: string;
  readonly createdAt: string;
  readonly state: ContainerState;
  readonly config: Pick<ContainerConfig, "Entrypoint" | "Cmd" | "ExposedPorts">;
  readonly runtime: {
    readonly startedAt?: string;
    readonly finishedAt?: string;
    readonly exitCode: number;
    readonly health?: Pick<Health, "Status">;
    readonly endpoint?: { readonly ports: readonly BoundPort[] };
  };
}

interface Row {
  readonly id: string;
  readonly name: string;
  readonly image_id: string;
  readonly image: string;
  readonly created_at: string;
  readonly state: string;
  readonly shown: string;
}

/** The array of the column `shown`, see schema.ts. */
type Shown = readonly [
  keeperPid: number,
  keeperStartTime: number,
  startedAt: string | null,
  finishedAt: string | null,
  exitCode: number,
  health: Health["Status"] | null,
  ports: readonly BoundPort[] | null,
  entrypoint: readonly string[] | null,
  command: readonly string[] | null,
  exposed: NonNullable<ContainerConfig["ExposedPorts"]> | null,
];

/**
 * The containers, newest first: the live ones, or all. Undefined if one of them was left behind by a crash: that is to be
 * put right before anything is shown (collect.ts).
 */
export function listContainersShown(engine: Engine, isAll: boolean): readonly ListedContainer[] | undefined {
  const rows = engine.db
    .query<Row, []>(
      `SELECT id, name, image_id, image, created_at, state, shown
         FROM container INDEXED BY container_listing ORDER BY created_at DESC, id`,
    )
    .all();
  const keepers: { pid: number; startTime: number }[] = [];
  const listed: ListedContainer[] = [];
  for (const row of rows) {
    const { state } = row;
    if (!isState(state)) throw new CtrError("internal", `container ${row.id} is recorded as ${state}`);
    // Only the database's own expression writes the column.
    const shown = JSON.parse(row.shown) as Shown;
    if (shown[0] > 0) keepers.push({ pid: shown[0], startTime: shown[1] });
    if (isAll || isLive(state)) listed.push(toListed(row, state, shown));
  }
  return areAllRunning(keepers) ? listed : undefined;
}

function toListed(row: Row, state: ContainerState, shown: Shown): ListedContainer {
  const [, , startedAt, finishedAt, exitCode, health, ports, entrypoint, command, exposed] = shown;
  return {
    id: row.id,
    name: row.name,
    imageId: row.image_id,
    image: row.image,
    createdAt: row.created_at,
    state,
    config: { Entrypoint: entrypoint, Cmd: command, ...(exposed === null ? {} : { ExposedPorts: exposed }) },
    runtime: {
      exitCode,
      ...(startedAt === null ? {} : { startedAt }),
      ...(finishedAt === null ? {} : { finishedAt }),
      ...(health === null ? {} : { health: { Status: health } }),
      ...(ports === null ? {} : { endpoint: { ports } }),
    },
  };
}
