/** One layer of a push: found in the registry, taken over from a neighbour, or sent. */

import { compress } from "../archive/compress.ts";
import { BlobWriter, readChunks } from "../content/blob-store.ts";
import type { Workspace } from "../content/workspace.ts";
import type { Engine } from "../db/engine.ts";
import type { Descriptor, Repository, RepositoryName } from "../registry/repository.ts";
import { type Digest, parseDigest } from "../spec/digest.ts";
import { type Fd, lseek, O_RDONLY, open } from "../sys/fd.ts";
import { compressionOf, LAYER_TYPES } from "./media-types.ts";
import { shortDigest, type TransferEvent } from "./transfer.ts";

export interface LayerPush {
  readonly engine: Engine;
  readonly workspace: Workspace;
  readonly repository: Repository;
  readonly name: RepositoryName;
  readonly chunkSize: number | undefined;
  readonly signal: AbortSignal;
  readonly onEvent: (event: TransferEvent) => void;
}

/** A layer as the image's manifest names it, with its open blob. */
export interface StoredLayer {
  readonly descriptor: Descriptor;
  readonly diffId: string;
  readonly blob: Fd;
}

/** Sees to it that the repository has the layer; returns how it has it: a plain layer of our own goes compressed. */
export async function pushLayer(push: LayerPush, layer: StoredLayer): Promise<Descriptor> {
  const id = shortDigest(layer.diffId);
  const { digest, mediaType } = layer.descriptor;
  const isPlain = compressionOf(mediaType) === "none" && originsOf(push, digest).length === 0;
  if (!isPlain) {
    const found = await findRemote(push, layer.descriptor, id);
    if (!found) await send(push, layer.descriptor, (offset) => readFrom(layer.blob, offset), id);
    return layer.descriptor;
  }
  const before = compressedBefore(push.engine, digest);
  if (before !== undefined && (await findRemote(push, before, id))) return before;
  push.onEvent({ status: "Compressing", layer: id });
  const { descriptor, path } = await compressInto(push, layer, id);
  // Another name than the one looked for: this executable compresses otherwise than the one before.
  if (descriptor.digest !== before?.digest && (await findRemote(push, descriptor, id))) return descriptor;
  using blob = open(path, O_RDONLY);
  await send(push, descriptor, (offset) => readFrom(blob, offset), id);
  return descriptor;
}

/** True if the repository has the blob, perhaps from now on. */
async function findRemote(push: LayerPush, descriptor: Descriptor, id: string): Promise<boolean> {
  if (await push.repository.hasBlob(descriptor.digest)) {
    push.onEvent({ status: "Layer already exists", layer: id });
    return true;
  }
  for (const path of originsOf(push, descriptor.digest).slice(0, MAX_MOUNTS)) {
    if (await push.repository.mount(descriptor.digest, path)) {
      push.onEvent({ status: `Mounted from ${path}`, layer: id });
      return true;
    }
  }
  return false;
}

/** How many neighbours are asked before the bytes are sent. */
const MAX_MOUNTS = 4;

/** Paths of other repositories of the same registry that are known to have a blob. */
function originsOf({ engine, name }: LayerPush, digest: Digest): string[] {
  const prefix = `${name.domain}/`;
  return engine.db
    .query<{ repository: string }, [string]>("SELECT repository FROM blob_origin WHERE digest = ? ORDER BY repository")
    .all(digest)
    .map(({ repository }) => repository)
    .filter((repository) => repository.startsWith(prefix) && repository !== `${prefix}${name.path}`)
    .map((repository) => repository.slice(prefix.length));
}

async function send(
  push: LayerPush,
  descriptor: Descriptor,
  read: (offset: number) => AsyncIterable<Uint8Array>,
  id: string,
): Promise<void> {
  const total = descriptor.size;
  push.onEvent({ status: "Pushing", layer: id, progress: { current: 0, total } });
  await push.repository.upload(descriptor, read, {
    ...(push.chunkSize === undefined ? {} : { chunkSize: push.chunkSize }),
    onProgress: (current) => push.onEvent({ status: "Pushing", layer: id, progress: { current, total } }),
  });
  push.onEvent({ status: "Pushed", layer: id });
}

function readFrom(blob: Fd, offset: number): AsyncIterable<Uint8Array> {
  lseek(blob.number, offset, 0);
  return readChunks(blob.number);
}

/** What a plain blob was when it was last compressed. */
function compressedBefore(engine: Engine, source: Digest): Descriptor | undefined {
  const row = engine.db
    .query<{ digest: string; size: number; media_type: string }, [string]>(
      "SELECT digest, size, media_type FROM compressed_blob WHERE source = ?",
    )
    .get(source);
  return row === null ? undefined : { digest: parseDigest(row.digest), size: row.size, mediaType: row.media_type };
}

/** Compresses a plain blob into the workspace: the same bytes give the same digest. */
async function compressInto(
  push: LayerPush,
  { blob, descriptor: source }: StoredLayer,
  id: string,
): Promise<{ readonly descriptor: Descriptor; readonly path: string }> {
  const { workspace, engine, signal } = push;
  using writer = new BlobWriter(workspace, `compressed-${crypto.randomUUID()}`);
  let current = 0;
  for await (const chunk of compress(counted(readFrom(blob, 0)), "gzip")) {
    signal.throwIfAborted();
    writer.write(chunk);
  }
  const descriptor = { ...writer.finish(), mediaType: LAYER_TYPES.gzip };
  engine.db
    .query(
      `INSERT INTO compressed_blob (source, digest, size, media_type) VALUES (?, ?, ?, ?)
       ON CONFLICT (source) DO UPDATE SET digest = excluded.digest, size = excluded.size, media_type = excluded.media_type`,
    )
    .run(source.digest, descriptor.digest, descriptor.size, descriptor.mediaType);
  return { descriptor, path: writer.path };

  async function* counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      current += chunk.length;
      push.onEvent({ status: "Compressing", layer: id, progress: { current, total: source.size } });
      yield chunk;
    }
  }
}
