/** From a layer blob to an unpacked layer: decompress, verify the diff id, unpack, all in one pass. */
import { type Compression, decompress } from "../archive/decompress.ts";
import { readTarEvents } from "../archive/tar-reader.ts";
import type { BlobWriter } from "../content/blob-store.ts";
import { type Digest, parseDigest } from "../content/digest.ts";
import type { Workspace } from "../content/workspace.ts";
import { prepareLayer, type UnpackedLayer } from "../snapshot/layers.ts";
import type { Lower } from "../snapshot/unpack.ts";
import { DEFAULT_LIMITS, type LayerLimits } from "../spec/layer-entry.ts";
import { Digester } from "../sys/digester.ts";

export interface UnpackedBlob {
  readonly layer: UnpackedLayer;
  /** The digest of the uncompressed stream. */
  readonly diffId: Digest;
  readonly compression: Compression;
}

export interface UnpackOptions {
  /** The stream is written there too, as it came; `finish` may be called afterwards. */
  readonly keep?: BlobWriter | undefined;
  readonly limits?: LayerLimits | undefined;
  /** The digest of the stream as it comes, where somebody has computed it before. */
  readonly digest?: Digest | undefined;
}

/** Unpacks a layer's tar stream into `workspace`. */
export async function unpackBlob(
  source: AsyncIterable<Uint8Array>,
  workspace: Workspace,
  lower: Lower,
  options: UnpackOptions = {},
): Promise<UnpackedBlob> {
  const { keep, limits = DEFAULT_LIMITS } = options;
  const stream = plainStream(source, keep, options.digest);
  const layer = await prepareLayer(workspace.path, readTarEvents(stream.chunks, limits), lower, limits);
  return { layer, diffId: stream.diffId(), compression: stream.compression() };
}

/** The diff id of a layer's tar stream, without unpacking it; `keep` as `unpackBlob` has it. */
export async function diffIdOf(source: AsyncIterable<Uint8Array>, keep?: BlobWriter): Promise<Digest> {
  const stream = plainStream(source, keep, undefined);
  for await (const _ of stream.chunks);
  return stream.diffId();
}

interface PlainStream {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Both are known once the chunks are all read. */
  readonly diffId: () => Digest;
  readonly compression: () => Compression;
}

/** The stream without its compression, hashed on the way; once, where the blob is what is unpacked. */
function plainStream(
  source: AsyncIterable<Uint8Array>,
  keep: BlobWriter | undefined,
  digest: Digest | undefined,
): PlainStream {
  let compression: Compression = "none";
  const onDetect = (detected: Compression) => {
    compression = detected;
  };
  const chunks = decompress(keep === undefined ? source : keep.tee(source), onDetect, true);
  const isHashed = () => (keep ?? digest) !== undefined && compression === "none";
  let hex = "";
  async function* hashed(): AsyncGenerator<Uint8Array, void, undefined> {
    using digester = new Digester();
    for await (const chunk of chunks) {
      if (!isHashed()) digester.update(chunk);
      yield chunk;
    }
    hex = digester.hex();
  }
  return {
    chunks: hashed(),
    diffId: () => (isHashed() ? (keep?.digest() ?? digest) : undefined) ?? parseDigest(`sha256:${hex}`),
    compression: () => compression,
  };
}
