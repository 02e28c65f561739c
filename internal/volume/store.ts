/**
 * Volumes: a row, its uses, and `<root>/volumes/<generated directory>/_data`. A row comes first and a directory is made
 * when it is needed, so a crash in between leaves nothing that the next use does not put right.
 */
import type { Engine } from "../db/engine.ts";
import { recordEvent } from "../db/events.ts";
import { CtrError } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, fchmodat, mkdirAll, removeTree } from "../sys/file.ts";
import type { WantedMount } from "./mount-spec.ts";

/** A volume or bind as it will be mounted (Docker's `Mounts`). */
export interface VolumeMount {
  readonly Type: "bind" | "volume";
  readonly Name?: string;
  readonly Source: string;
  readonly Destination: string;
  readonly Mode: string;
  readonly RW: boolean;
  readonly Propagation: string;
}

export interface Volume {
  readonly name: string;
  /** Below `<root>/volumes`. */
  readonly directory: string;
  readonly isAnonymous: boolean;
  readonly labels: { readonly [name: string]: string };
  readonly createdAt: string;
}

interface Row {
  readonly name: string;
  readonly directory: string;
  readonly anonymous: number;
  readonly labels: string;
  readonly created_at: string;
}

const toVolume = (row: Row): Volume => ({
  name: row.name,
  directory: row.directory,
  isAnonymous: row.anonymous === 1,
  // Only this file writes the column.
  labels: JSON.parse(row.labels) as { readonly [name: string]: string },
  createdAt: row.created_at,
});

/** The volume of this name, or undefined. */
export function findVolume(engine: Engine, name: string): Volume | undefined {
  const row = engine.db.query<Row, [string]>("SELECT * FROM volume WHERE name = ?").get(name);
  return row === null ? undefined : toVolume(row);
}

/** Where a volume's content is. */
export function volumeData(engine: Engine, volume: Volume): string {
  return `${engine.root}/volumes/${volume.directory}/_data`;
}

/**
 * Records the container's use of what it wants, with the volumes that are missing, and says how each will be mounted.
 * Run it in the transaction that inserts the container.
 */
export function reserveMounts(engine: Engine, container: string, wanted: readonly WantedMount[]): VolumeMount[] {
  return wanted.map((mount): VolumeMount => {
    const common = { Destination: mount.destination, RW: !mount.isReadonly, Propagation: mount.propagation };
    if (mount.type === "bind") return { ...common, Type: "bind", Source: mount.source ?? "", Mode: mount.mode };
    const volume =
      (mount.name === undefined ? undefined : findVolume(engine, mount.name)) ?? insert(engine, mount.name);
    engine.db.query("INSERT OR IGNORE INTO volume_use (volume, container) VALUES (?, ?)").run(volume.name, container);
    // Docker shows a named volume's default mode as "z".
    const mode = mount.name !== undefined && mount.mode === "" ? "z" : mount.mode;
    return { ...common, Type: "volume", Name: volume.name, Source: volumeData(engine, volume), Mode: mode };
  });
}

function insert(engine: Engine, name: string | undefined): Volume {
  const volume: Volume = {
    name: name ?? randomHex(32),
    directory: randomHex(16),
    isAnonymous: name === undefined,
    labels: {},
    createdAt: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
  };
  engine.db
    .query("INSERT INTO volume (name, directory, anonymous, labels, created_at) VALUES (?, ?, ?, ?, ?)")
    .run(volume.name, volume.directory, volume.isAnonymous ? 1 : 0, JSON.stringify(volume.labels), volume.createdAt);
  recordEvent(engine, { type: "volume", action: "create", id: volume.name, attributes: { driver: "local" } });
  return volume;
}

function randomHex(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}

/**
 * Makes the directories behind the mounts that are not there: a volume's, and like Docker a missing source of a bind
 * (root, 0755).
 */
export function makeSources(engine: Engine, mounts: readonly VolumeMount[]): void {
  for (const mount of mounts) {
    if (exists(AT_FDCWD, mount.Source)) continue;
    if (mount.Type === "volume") mkdirAll(`${engine.root}/volumes`, 0o711);
    mkdirAll(mount.Source, 0o755);
    // Whatever the caller's umask was.
    fchmodat(AT_FDCWD, mount.Source, 0o755);
  }
}

/** Lets go of the volumes a container used, and with `removeAnonymous` removes those anonymous ones nobody else uses. */
export function releaseMounts(engine: Engine, container: string, removeAnonymous: boolean): void {
  const names = engine.db
    .query<{ volume: string }, [string]>("SELECT volume FROM volume_use WHERE container = ?")
    .all(container)
    .map((row) => row.volume);
  for (const name of names) {
    const volume = findVolume(engine, name);
    if (volume === undefined) continue;
    const others = usersOf(engine, name).filter((user) => user !== container);
    engine.db.query("DELETE FROM volume_use WHERE volume = ? AND container = ?").run(name, container);
    if (removeAnonymous && volume.isAnonymous && others.length === 0) removeVolume(engine, volume);
  }
}

/** The ids of the containers that use the volume. */
export function usersOf(engine: Engine, name: string): string[] {
  return engine.db
    .query<{ container: string }, [string]>("SELECT container FROM volume_use WHERE volume = ? ORDER BY container")
    .all(name)
    .map((row) => row.container);
}

/** Removes a volume and its content. Throws `conflict` while containers use it. */
export function removeVolume(engine: Engine, volume: Volume): void {
  const users = usersOf(engine, volume.name);
  if (users.length > 0)
    throw new CtrError("conflict", `remove ${volume.name}: volume is in use - [${users.join(", ")}]`);
  // The row goes first: a directory without a row is a leftover, a row without its content would be a loss.
  engine.db.query("DELETE FROM volume WHERE name = ?").run(volume.name);
  recordEvent(engine, { type: "volume", action: "destroy", id: volume.name, attributes: { driver: "local" } });
  removeTree(AT_FDCWD, `${engine.root}/volumes/${volume.directory}`);
}
