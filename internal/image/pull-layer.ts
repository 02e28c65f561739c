/** One layer of a pull: streamed once, through the store, its digest, its decompression, its diff ID, onto the disk. */
import { blobPath, openBlob, readChunks } from "../content/blob-store.ts";
import { Download } from "../content/download.ts";
import type { Workspace } from "../content/workspace.ts";
import type { Engine } from "../db/engine.ts";
import { loadEngineConfig } from "../db/engine-config.ts";
import { CtrError, EDQUOT, ENOSPC, isErrno, withContext } from "../errors/error.ts";
import type { Repository } from "../registry/repository.ts";
import { hasLayer, type UnpackedLayer } from "../snapshot/layers.ts";
import type { Lower } from "../snapshot/unpack.ts";
import type { Digest } from "../spec/digest.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import type { Descriptor } from "./documents.ts";
import { compressionOf, LAYER_TYPES } from "./media-types.ts";
import type { PreparedLayer } from "./publish.ts";
import { shortDigest, type TransferEvent } from "./transfer.ts";
import { diffIdOf, unpackBlob } from "./unpack-blob.ts";

export interface LayerPull {
  readonly engine: Engine;
  readonly workspace: Workspace;
  readonly repository: Repository;
  readonly signal: AbortSignal;
  readonly onEvent: (event: TransferEvent) => void;
}

/** A layer as manifest and config name it. */
export interface WantedLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly chainId: Digest;
}

/** True if neither the layer nor its blob has to be fetched. */
export function isLayerHere(engine: Engine, { descriptor, chainId }: WantedLayer): boolean {
  return hasLayer(engine, chainId) && exists(AT_FDCWD, blobPath(engine.root, descriptor.digest));
}

/** A layer of which the store has all. */
export function presentLayer({ descriptor, chainId, diffId }: WantedLayer): PreparedLayer {
  const { digest, size } = descriptor;
  const mediaType = LAYER_TYPES[compressionOf(descriptor.mediaType)];
  return { chainId, diffId, blob: { digest, size, path: undefined }, mediaType, unpacked: undefined };
}

/** Fetches what the store lacks of a layer. A directory is made only if no image here has the layer yet. */
export async function pullLayer(pull: LayerPull, wanted: WantedLayer, lower: Lower): Promise<PreparedLayer> {
  const id = shortDigest(wanted.descriptor.digest);
  try {
    const layer = exists(AT_FDCWD, blobPath(pull.engine.root, wanted.descriptor.digest))
      ? await fromStore(pull, wanted, lower)
      : await fromRegistry(pull, wanted, lower);
    pull.onEvent({ status: "Pull complete", layer: id });
    return layer;
  } catch (error) {
    throw pull.signal.aborted ? pull.signal.reason : withContext(`layer ${id}`, error);
  }
}

async function fromStore(pull: LayerPull, wanted: WantedLayer, lower: Lower): Promise<PreparedLayer> {
  using blob = openBlob(pull.engine.root, wanted.descriptor.digest).fd;
  return { ...presentLayer(wanted), ...(await unpack(pull, wanted, readChunks(blob.number), lower)) };
}

async function fromRegistry(pull: LayerPull, wanted: WantedLayer, lower: Lower): Promise<PreparedLayer> {
  const { descriptor } = wanted;
  for (;;) {
    using download = newDownload(pull, descriptor);
    try {
      const { unpacked, mediaType } = await unpackVerified(pull, wanted, download, lower);
      const blob = { digest: descriptor.digest, size: descriptor.size, path: download.linkInto(pull.workspace) };
      return { ...presentLayer(wanted), blob, unpacked, mediaType };
    } catch (error) {
      const isWrong = error instanceof CtrError && error.kind === "invalid";
      const isContinued = download.isContinued;
      if (isWrong || isDiskFull(error) || isDiskFull(pull.signal.reason)) download.discard();
      // What an earlier process left may have been cut by a power failure: it is fetched once more, all of it.
      if (!isWrong || !isContinued || pull.signal.aborted) throw error;
    }
  }
}

function newDownload(pull: LayerPull, descriptor: Descriptor): Download {
  const id = shortDigest(descriptor.digest);
  const total = descriptor.size;
  return new Download(pull.engine.root, descriptor, {
    signal: pull.signal,
    fetch: (offset) => pull.repository.blob(descriptor, offset),
    onProgress: (current) => pull.onEvent({ status: "Downloading", layer: id, progress: { current, total } }),
    onRetry(waitMs) {
      const seconds = Math.max(1, Math.round(waitMs / 1000));
      pull.onEvent({ status: `Retrying in ${seconds} second${seconds === 1 ? "" : "s"}`, layer: id });
    },
  });
}

async function unpackVerified(
  pull: LayerPull,
  wanted: WantedLayer,
  download: Download,
  lower: Lower,
): Promise<{ readonly unpacked: UnpackedLayer | undefined; readonly mediaType: string }> {
  const id = shortDigest(wanted.descriptor.digest);
  try {
    return await unpack(pull, wanted, told(download.bytes(), pull, id), lower);
  } catch (error) {
    // Wrong bytes break the unpacking before their digest is known: what is wrong is the bytes, then.
    if (error instanceof CtrError && error.kind === "invalid" && !pull.signal.aborted) {
      for await (const _ of download.bytes());
    }
    throw error;
  }
}

/** Passes the bytes on, and tells when the last one has come and the digest was right. */
async function* told(
  source: AsyncIterable<Uint8Array>,
  pull: LayerPull,
  id: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* source;
  pull.onEvent({ status: "Verifying Checksum", layer: id });
  pull.onEvent({ status: "Download complete", layer: id });
}

async function unpack(
  pull: LayerPull,
  { chainId, diffId, descriptor }: WantedLayer,
  source: AsyncIterable<Uint8Array>,
  lower: Lower,
): Promise<{ readonly unpacked: UnpackedLayer | undefined; readonly mediaType: string }> {
  let found: Digest;
  let unpacked: UnpackedLayer | undefined;
  let mediaType: string = LAYER_TYPES[compressionOf(descriptor.mediaType)];
  // The layer may be there from another blob (loaded, say, and not compressed): this one is kept beside it, checked.
  if (hasLayer(pull.engine, chainId)) found = await diffIdOf(source);
  else {
    const fresh = await unpackBlob(source, pull.workspace, lower, {
      limits: loadEngineConfig({ CTR_CONFIG: pull.engine.config }).layerLimits,
    });
    found = fresh.diffId;
    unpacked = fresh.layer;
    mediaType = LAYER_TYPES[fresh.compression];
  }
  if (found !== diffId) throw new CtrError("invalid", `invalid diffID for layer: expected ${diffId}, got ${found}`);
  return { unpacked, mediaType };
}

/** True if there was no room, or no quota, for something. */
export function isDiskFull(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (isErrno(at, ENOSPC, EDQUOT)) return true;
  return false;
}
