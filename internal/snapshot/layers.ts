/** Installing unpacked layers, and removing those nobody needs. */
import type { Engine } from "../db/engine.ts";
import { recordedDriver } from "../db/storage-driver.ts";
import { ENOENT, isErrno } from "../errors/error.ts";
import { AT_FDCWD, type Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, open } from "../sys/fd.ts";
import { fchmodat, getdents64, mkdirAll, mkdirat, renameat2 } from "../sys/file.ts";
import { isFlat } from "./flat.ts";
import { removeSnapshot } from "./remove-snapshot.ts";
import { type Lower, unpackLayer } from "./unpack.ts";
import { treeUsage } from "./usage.ts";

type Entries = Parameters<typeof unpackLayer>[0];

/** A layer in the `layer` table, but for where it is. */
export interface LayerRecord {
  readonly chainId: string;
  readonly parent: string | undefined;
  readonly diffId: string;
  /** Digest and media type of the blob it came from. */
  readonly blob: string;
  readonly mediaType: string;
}

/** A layer that is unpacked in a workspace and not yet known to anybody. */
export interface UnpackedLayer {
  readonly path: string;
  /** Bytes of its regular files. */
  readonly size: number;
}

/** True if the layer is installed. */
export function hasLayer(engine: Engine, chainId: string): boolean {
  return engine.db.query("SELECT 1 FROM layer WHERE chain_id = ?").get(chainId) !== null;
}

/** Unpacks entries into a new directory of a workspace. */
export async function prepareLayer(
  workspace: string,
  entries: Entries,
  lower: Lower,
  limits?: Parameters<typeof unpackLayer>[3],
): Promise<UnpackedLayer> {
  const path = `${workspace}/layer-${newId()}`;
  mkdirat(AT_FDCWD, path, 0o755);
  return { path, size: await unpackLayer(entries, path, lower, limits) };
}

/**
 * Puts an unpacked layer into the store. Call it inside the transaction that records the image it belongs to. If
 * somebody else has installed the same layer meanwhile, theirs is kept and this one goes with its workspace.
 */
export function installLayer(engine: Engine, layer: UnpackedLayer, record: LayerRecord): void {
  if (hasLayer(engine, record.chainId)) return;
  // Closed: paths of layers are no secret (mountinfo), and an image's set-id programs are nobody's on the host.
  mkdirAll(`${engine.root}/layers`, 0o700);
  fchmodat(AT_FDCWD, `${engine.root}/layers`, 0o700);
  const directory = isFlat(layer.path) ? layer.path.slice(layer.path.lastIndexOf("/") + 1) : newId();
  renameat2(AT_FDCWD, layer.path, AT_FDCWD, `${engine.root}/layers/${directory}`);
  engine.db
    .query(
      "INSERT INTO layer (chain_id, parent, diff_id, directory, size, blob, media_type) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .run(record.chainId, record.parent ?? null, record.diffId, directory, layer.size, record.blob, record.mediaType);
}

/**
 * Forgets the layers that neither an image nor a container has; their directories stay. Call it inside a transaction.
 * Returns the chain ids, topmost first.
 */
export function forgetLayers(engine: Engine): string[] {
  const removed = engine.db
    .query<{ chain_id: string; parent: string | null }, []>(
      `DELETE FROM layer
       WHERE chain_id NOT IN (SELECT chain_id FROM image_layer)
         AND chain_id NOT IN (SELECT json_each.value FROM container, json_each(container.layers))
       RETURNING chain_id, parent`,
    )
    .all();
  return topFirst(removed);
}

/** The directories below `<root>/layers` that no row names. Call it inside a transaction: see image/collect.ts. */
export function unnamedLayers(engine: Engine): string[] {
  const known = new Set(
    engine.db
      .query<{ directory: string }, []>("SELECT directory FROM layer")
      .all()
      .map((row) => row.directory),
  );
  return directoryNames(`${engine.root}/layers`)
    .filter((name) => !known.has(name))
    .map((name) => `${engine.root}/layers/${name}`);
}

/** Removes a layer's directory that no row names. Succeeds when it is gone. */
export function removeLayerDirectory(path: string): void {
  removeSnapshot(path);
}

/** How much of the disk one layer takes. */
export interface LayerUsage {
  readonly chainId: string;
  readonly size: number;
}

/** What the installed layers take. */
export function layerUsages(engine: Engine): LayerUsage[] {
  const rows = engine.db
    .query<LayerUsage & { directory: string }, []>("SELECT chain_id AS chainId, size, directory FROM layer")
    .all();
  if (recordedDriver(engine) !== "vfs") return rows;
  // Each holds a copy of those below it.
  return rows.map((row) => ({ ...row, size: treeUsage(`${engine.root}/layers/${row.directory}`) }));
}

function topFirst(rows: readonly { readonly chain_id: string; readonly parent: string | null }[]): string[] {
  const depth = new Map<string, number>();
  const parents = new Map(rows.map((row) => [row.chain_id, row.parent]));
  const depthOf = (chainId: string): number => {
    const known = depth.get(chainId);
    if (known !== undefined) return known;
    const parent = parents.get(chainId);
    const result = parent === null || parent === undefined ? 0 : depthOf(parent) + 1;
    depth.set(chainId, result);
    return result;
  };
  return rows.map((row) => row.chain_id).sort((a, b) => depthOf(b) - depthOf(a));
}

function directoryNames(path: string): string[] {
  let opened: Fd;
  try {
    opened = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT)) return [];
    throw error;
  }
  using directory = opened;
  return getdents64(directory.number).map((entry) => new TextDecoder().decode(entry.name));
}

/** A directory's name: 128 random bits. */
function newId(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex();
}
