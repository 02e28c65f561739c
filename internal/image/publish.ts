/** The last step of every way an image comes to be: everything prepared in a workspace becomes visible at once. */
import { type Blob, BlobWriter, blobPath, ensureLayout, publishBlob } from "../content/blob-store.ts";
import { type Digest, parseDigest } from "../content/digest.ts";
import type { Workspace } from "../content/workspace.ts";
import { shortenLog, transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { makeReserve } from "../db/reserve.ts";
import { CtrError } from "../errors/error.ts";
import { chooseSnapshotter } from "../snapshot/choose-driver.ts";
import { hasLayer, installLayer, type UnpackedLayer } from "../snapshot/layers.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { AT_FDCWD, syncfs } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import { writeListings } from "./listings.ts";
import { CONFIG_TYPE, MANIFEST_TYPE } from "./media-types.ts";
import { setRepoDigest } from "./repo-digests.ts";
import { setTag } from "./tags.ts";

/** A blob that is a file of the workspace, or is in the store already. */
export interface PreparedBlob extends Blob {
  readonly path: string | undefined;
}

export interface PreparedLayer {
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly blob: PreparedBlob;
  readonly mediaType: string;
  /** Undefined if the store had the layer when it was asked. */
  readonly unpacked: UnpackedLayer | undefined;
}

export interface PreparedManifest extends PreparedBlob {
  readonly mediaType: string;
}

export interface PreparedImage {
  readonly config: PreparedBlob;
  readonly configText: string;
  readonly manifest: PreparedManifest;
  /** Lowest first. */
  readonly layers: readonly PreparedLayer[];
  /** The image it was committed from. */
  readonly parent: string | undefined;
  /** Full references to tag it with. */
  readonly references: readonly string[];
  /** The registry's repository it came from. */
  readonly origin?: Origin;
}

/** A repository (`docker.io/library/alpine`) that has an image under a digest, and which blobs it has for it. */
export interface Origin {
  readonly repository: string;
  readonly digest: Digest;
  readonly blobs: readonly Digest[];
}

/** A small blob in a workspace. */
export function prepareBlob(workspace: Workspace, content: string | Uint8Array): PreparedBlob {
  using writer = new BlobWriter(workspace, `blob-${crypto.randomUUID()}`);
  writer.write(typeof content === "string" ? new TextEncoder().encode(content) : content);
  return { ...writer.finish(), path: writer.path };
}

/** Config and manifest of an image made here. */
export function prepareImage(
  workspace: Workspace,
  image: Pick<PreparedImage, "configText" | "layers" | "parent" | "references">,
): PreparedImage {
  const config = prepareBlob(workspace, image.configText);
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: config.digest, size: config.size },
    layers: image.layers.map(({ mediaType, blob }) => ({ mediaType, digest: blob.digest, size: blob.size })),
  };
  const blob = prepareBlob(workspace, JSON.stringify(manifest));
  return { ...image, config, manifest: { ...blob, mediaType: MANIFEST_TYPE } };
}

/**
 * Installs images, all or none, and returns their ids. An image that is there already is only tagged. `record` is called
 * in the transaction, for the event of each.
 */
export function publishImages(
  engine: Engine,
  workspace: Workspace,
  images: readonly PreparedImage[],
  record: (image: PreparedImage) => void = () => {},
): string[] {
  ensureLayout(engine.root);
  const finished = finishLayers(engine, images);
  // Before anything is recorded: after a power cut a layer is whole or unknown. Once for all files of all layers.
  syncfs(workspace.fd);
  makeReserve(engine.root);
  transaction(engine.db, () => {
    for (const image of finished) {
      publishOne(engine, image);
      record(image);
    }
    writeListings(engine);
  });
  shortenLog(engine.db);
  return images.map((image) => image.config.digest);
}

/** The images with their layers as the store's driver keeps them. */
function finishLayers(engine: Engine, images: readonly PreparedImage[]): readonly PreparedImage[] {
  const snapshotter = chooseSnapshotter(engine);
  if (snapshotter.name === "overlay") return images;
  // Images of one archive may share layers, and a layer's unpacked form is used up.
  const paths = new Map<string, string>();
  const pathOf = (chainId: string) => paths.get(chainId) ?? lowerDirectories(engine, [chainId])[0];
  return images.map((image) => ({
    ...image,
    layers: image.layers.map((layer, position) => {
      if (layer.unpacked === undefined) return layer;
      const below = image.layers[position - 1];
      const path =
        paths.get(layer.chainId) ??
        snapshotter.finishLayer(layer.unpacked.path, below === undefined ? undefined : pathOf(below.chainId));
      paths.set(layer.chainId, path);
      return { ...layer, unpacked: { ...layer.unpacked, path } };
    }),
  }));
}

function publishOne(engine: Engine, image: PreparedImage): void {
  const id = image.config.digest;
  const isKnown = engine.db.query("SELECT 1 FROM image WHERE id = ?").get(id) !== null;
  if (!isKnown) {
    install(engine, image.config);
    install(engine, image.manifest);
    engine.db
      .query(
        `INSERT INTO image (id, manifest, manifest_type, manifest_size, config, size, created_at, parent)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        id,
        image.manifest.digest,
        image.manifest.mediaType,
        image.manifest.size,
        image.configText,
        0,
        Date.now(),
        image.parent ?? null,
      );
    for (const [position, layer] of image.layers.entries()) publishLayer(engine, image, layer, position);
    engine.db
      .query(
        `UPDATE image SET size = (SELECT coalesce(sum(layer.size), 0) FROM image_layer JOIN layer USING (chain_id)
         WHERE image_id = image.id) WHERE id = ?`,
      )
      .run(id);
  }
  nameImage(engine, image, id);
}

/** Gives an image that is in the store its names. Inside a transaction, which writes the index afterwards. */
export function nameImage(engine: Engine, names: Pick<PreparedImage, "references" | "origin">, id: string): void {
  for (const reference of names.references) setTag(engine, reference, id);
  if (names.origin !== undefined) setOrigin(engine, names.origin, id);
}

/** Records where an image is to be found. Inside a transaction. */
export function setOrigin(engine: Engine, { repository, digest, blobs }: Origin, id: string): void {
  setRepoDigest(engine, repository, digest, id);
  const insert = engine.db.query("INSERT OR IGNORE INTO blob_origin (digest, repository) VALUES (?, ?)");
  for (const blob of blobs) insert.run(blob, repository);
}

function publishLayer(engine: Engine, image: PreparedImage, layer: PreparedLayer, position: number): void {
  const { chainId, diffId, blob, mediaType } = layer;
  install(engine, blob);
  if (layer.unpacked !== undefined) {
    const parent = image.layers[position - 1]?.chainId;
    installLayer(engine, layer.unpacked, { chainId, parent, diffId, blob: blob.digest, mediaType });
  } else if (!hasLayer(engine, chainId)) {
    throw new CtrError("conflict", `layer ${chainId} was removed by another command meanwhile: try again`);
  }
  const id = image.config.digest;
  engine.db.query("INSERT INTO image_layer (image_id, position, chain_id) VALUES (?, ?, ?)").run(id, position, chainId);
  engine.db
    .query("INSERT INTO image_blob (image_id, position, digest, size, media_type) VALUES (?, ?, ?, ?, ?)")
    .run(id, position, blob.digest, blob.size, mediaType);
}

/** Moves a blob into the store; several layers, and several images of one archive, may share one. */
function install(engine: Engine, blob: PreparedBlob): void {
  if (blob.path !== undefined && exists(AT_FDCWD, blob.path)) publishBlob(engine.root, blob.path, blob.digest);
  else if (!exists(AT_FDCWD, blobPath(engine.root, blob.digest))) {
    throw new CtrError("conflict", `blob ${blob.digest} was removed by another command meanwhile: try again`);
  }
}

/** The descriptors of an installed image's layer blobs, as layers to build another image on. */
export function installedLayers(engine: Engine, chainIds: readonly string[]): PreparedLayer[] {
  const query = engine.db.query<{ diff_id: string; blob: string; media_type: string }, [string]>(
    "SELECT diff_id, blob, media_type FROM layer WHERE chain_id = ?",
  );
  return chainIds.map((chainId) => {
    const row = query.get(chainId);
    if (row === null) throw new CtrError("conflict", `layer ${chainId} is not in the store`);
    const digest = parseDigest(row.blob);
    return {
      chainId: parseDigest(chainId, "chain id"),
      diffId: parseDigest(row.diff_id, "diff id"),
      blob: { digest, size: Bun.file(blobPath(engine.root, digest)).size, path: undefined },
      mediaType: row.media_type,
      unpacked: undefined,
    };
  });
}
