/** From a layer blob to an unpacked layer: decompress, verify the diff id, unpack, all in one pass. */
import { type Compression, decompress } from "../archive/decompress.ts";
import { readTarEvents } from "../archive/tar-reader.ts";
import { type Digest, parseDigest } from "../content/digest.ts";
import type { Workspace } from "../content/workspace.ts";
import { prepareLayer, type UnpackedLayer } from "../snapshot/layers.ts";
import type { Lower } from "../snapshot/unpack.ts";

export interface UnpackedBlob {
  readonly layer: UnpackedLayer;
  /** The digest of the uncompressed stream. */
  readonly diffId: Digest;
  readonly compression: Compression;
}

/** Unpacks a layer's tar stream into `workspace`. */
export async function unpackBlob(
  source: AsyncIterable<Uint8Array>,
  workspace: Workspace,
  lower: Lower,
): Promise<UnpackedBlob> {
  const hasher = new Bun.CryptoHasher("sha256");
  let compression: Compression = "none";
  const plain = decompress(source, (detected) => {
    compression = detected;
  });
  const layer = await prepareLayer(workspace.path, readTarEvents(hashed(plain, hasher)), lower);
  return { layer, diffId: parseDigest(`sha256:${hasher.digest("hex")}`), compression };
}

/** The diff id of a layer's tar stream, without unpacking it. */
export async function diffIdOf(source: AsyncIterable<Uint8Array>): Promise<Digest> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of decompress(source)) hasher.update(chunk);
  return parseDigest(`sha256:${hasher.digest("hex")}`);
}

async function* hashed(
  source: AsyncIterable<Uint8Array>,
  hasher: Bun.CryptoHasher,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of source) {
    hasher.update(chunk);
    yield chunk;
  }
}
