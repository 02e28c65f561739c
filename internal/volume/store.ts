/**
 * Volumes: a row, its uses, and `<root>/volumes/<generated directory>/_data`. A row comes first and a directory is made
 * when it is needed, so a crash in between leaves nothing that the next use does not put right.
 */
import { endingTransaction, transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { recordEvent } from "../db/events.ts";
import { CtrError } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, fchmodat, mkdirAll, removeTree } from "../sys/file.ts";
import { checkDriver, isNamed } from "./local-driver.ts";
import { ANONYMOUS_LABEL, type LocalOptions, type MountPoint, type WantedVolume } from "./mount-point.ts";
import { checkVolumeName, type WantedMount } from "./mount-spec.ts";

export interface Volume {
  readonly name: string;
  /** Below `<root>/volumes`. */
  readonly directory: string;
  /** Made with a container for a mount without a name: it goes with `rm -v` and `--rm`. */
  readonly isAnonymous: boolean;
  readonly labels: { readonly [name: string]: string };
  /** Of the `local` driver. */
  readonly options: LocalOptions;
  readonly createdAt: string;
}

interface Row {
  readonly name: string;
  readonly directory: string;
  readonly anonymous: number;
  readonly labels: string;
  readonly options: string;
  readonly created_at: string;
}

const toVolume = (row: Row): Volume => ({
  name: row.name,
  directory: row.directory,
  isAnonymous: row.anonymous === 1,
  // Only this file writes the columns.
  labels: JSON.parse(row.labels) as { readonly [name: string]: string },
  options: JSON.parse(row.options) as LocalOptions,
  createdAt: row.created_at,
});

/** The volume of this name, or undefined. */
export function findVolume(engine: Engine, name: string): Volume | undefined {
  const row = engine.db.query<Row, [string]>("SELECT * FROM volume WHERE name = ?").get(name);
  return row === null ? undefined : toVolume(row);
}

/** Every volume, by name. */
export function listVolumes(engine: Engine): Volume[] {
  return engine.db.query<Row, []>("SELECT * FROM volume ORDER BY name").all().map(toVolume);
}

/** Where a volume's content is. */
export function volumeData(engine: Engine, volume: Volume): string {
  return `${engine.root}/volumes/${volume.directory}/_data`;
}

const PLAIN: WantedVolume = { driver: "local", options: {}, labels: {} };

/**
 * Records the container's use of what it wants, with the volumes that are missing, and says how each will be mounted.
 * Run it in the transaction that inserts the container.
 */
export function reserveMounts(engine: Engine, container: string, wanted: readonly WantedMount[]): MountPoint[] {
  return wanted.map((mount): MountPoint => {
    const common = {
      Destination: mount.destination,
      Mode: mount.mode,
      RW: !mount.isReadonly,
      Propagation: mount.propagation,
      ...mount.extras,
    };
    if (mount.type !== "volume") return { ...common, Type: mount.type, Source: mount.source ?? "" };
    const volume = ensureVolume(engine, mount.name, mount.volume ?? PLAIN, mount.name === undefined);
    use(engine, volume.name, container);
    return {
      ...common,
      Type: "volume",
      Name: volume.name,
      Source: volumeData(engine, volume),
      // Docker shows a named volume's default mode as "z".
      Mode: mount.name !== undefined && mount.mode === "" ? "z" : mount.mode,
      ...(mount.copiesUp ? { copiesUp: true } : {}),
      ...(isNamed(volume.options) ? { options: volume.options } : {}),
    };
  });
}

/** Records the container's use of mounts that another one has (`--volumes-from`); with `isReadonly` none is writable. */
export function inheritMounts(
  engine: Engine,
  container: string,
  mounts: readonly MountPoint[],
  isReadonly: boolean,
): MountPoint[] {
  return mounts
    .filter((mount) => mount.Type !== "tmpfs")
    .map((mount): MountPoint => {
      if (mount.Name !== undefined) use(engine, mount.Name, container);
      const { copiesUp: _, ...rest } = mount;
      return { ...rest, Mode: "", RW: mount.RW && !isReadonly };
    });
}

function use(engine: Engine, volume: string, container: string): void {
  engine.db.query("INSERT OR IGNORE INTO volume_use (volume, container) VALUES (?, ?)").run(volume, container);
}

/** `volume create`: the volume of this name, made if there is none; one nobody named gets a name. Throws `invalid`. */
export function createVolume(engine: Engine, name: string | undefined, wanted: WantedVolume): Volume {
  const checked = name === undefined ? undefined : checkVolumeName(name);
  return transaction(engine.db, () => ensureVolume(engine, checked, wanted, false));
}

function ensureVolume(
  engine: Engine,
  name: string | undefined,
  wanted: WantedVolume,
  goesWithContainer: boolean,
): Volume {
  const known = name === undefined ? undefined : findVolume(engine, name);
  if (known !== undefined) return known;
  const newName = name ?? randomHex(32);
  checkDriver(newName, wanted);
  const volume: Volume = {
    name: newName,
    directory: randomHex(16),
    isAnonymous: goesWithContainer,
    labels: { ...wanted.labels, ...(name === undefined ? { [ANONYMOUS_LABEL]: "" } : {}) },
    options: wanted.options,
    createdAt: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
  };
  engine.db
    .query("INSERT INTO volume (name, directory, anonymous, labels, options, created_at) VALUES (?, ?, ?, ?, ?, ?)")
    .run(
      volume.name,
      volume.directory,
      volume.isAnonymous ? 1 : 0,
      JSON.stringify(volume.labels),
      JSON.stringify(volume.options),
      volume.createdAt,
    );
  recordEvent(engine, { type: "volume", action: "create", id: volume.name, attributes: { driver: "local" } });
  return volume;
}

function randomHex(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}

/**
 * Makes the directories behind the mounts that are not there: a volume's, and like Docker a missing source of `-v`
 * (root, 0755). Throws for a missing source of `--mount`.
 */
export function makeSources(engine: Engine, mounts: readonly MountPoint[]): void {
  for (const mount of mounts) {
    if (mount.Type === "tmpfs" || exists(AT_FDCWD, mount.Source)) continue;
    if (mount.needsSource === true) {
      throw new CtrError(
        "invalid",
        `invalid mount config for type "bind": bind source path does not exist: ${mount.Source}`,
      );
    }
    if (mount.Type === "volume") {
      // Closed, as the layers are: a container's root leaves set-id programs in a volume as it likes.
      mkdirAll(`${engine.root}/volumes`, 0o700);
      fchmodat(AT_FDCWD, `${engine.root}/volumes`, 0o700);
    }
    mkdirAll(mount.Source, 0o755);
    // Whatever the caller's umask was.
    fchmodat(AT_FDCWD, mount.Source, 0o755);
  }
}

/** Lets go of the volumes a container used, and with `removeAnonymous` those anonymous ones go that nobody else uses. */
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
    if (removeAnonymous && volume.isAnonymous && others.length === 0) forgetVolume(engine, volume);
  }
}

/** The ids of the containers that use the volume. */
export function usersOf(engine: Engine, name: string): string[] {
  return engine.db
    .query<{ container: string }, [string]>("SELECT container FROM volume_use WHERE volume = ? ORDER BY container")
    .all(name)
    .map((row) => row.container);
}

/** The row goes; the directory is noted for `finishVolumeRemovals`. Inside a transaction. */
function forgetVolume(engine: Engine, { name, directory }: Volume): void {
  const users = usersOf(engine, name);
  if (users.length > 0) throw new CtrError("conflict", `remove ${name}: volume is in use - [${users.join(", ")}]`);
  engine.db.query("DELETE FROM volume WHERE name = ?").run(name);
  engine.db.query("INSERT INTO volume_removal (directory) VALUES (?)").run(directory);
  recordEvent(engine, { type: "volume", action: "destroy", id: name, attributes: { driver: "local" } });
}

/** `volume rm`: throws `not-found` for one that is not there, unless `isForced`, and `conflict` for one in use. */
export function removeVolumeNamed(engine: Engine, name: string, isForced: boolean): void {
  const removed = endingTransaction(engine.db, () => {
    const volume = findVolume(engine, name);
    if (volume !== undefined) forgetVolume(engine, volume);
    return volume;
  });
  if (removed !== undefined) finishVolumeRemovals(engine);
  else if (!isForced) throw new CtrError("not-found", `get ${name}: no such volume`);
}

/**
 * Removes the content of volumes whose row is gone, also of those that somebody else was about to remove when it was
 * killed. After the transaction, because it may take its time.
 */
export function finishVolumeRemovals(engine: Engine): void {
  const rows = engine.db.query<{ directory: string }, []>("SELECT directory FROM volume_removal").all();
  for (const { directory } of rows) {
    removeTree(AT_FDCWD, `${engine.root}/volumes/${directory}`);
    endingTransaction(engine.db, () => {
      engine.db.query("DELETE FROM volume_removal WHERE directory = ?").run(directory);
    });
  }
}
