/** `push`: images of the store to a registry. */
import { openBlob } from "../content/blob-store.ts";
import { openWorkspace } from "../content/workspace.ts";
import { transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { loadEngineConfig } from "../db/engine-config.ts";
import { CtrError } from "../errors/error.ts";
import { type Descriptor, openRepository, type Repository } from "../registry/repository.ts";
import type { RegistrySettings } from "../registry/settings.ts";
import { type Digest, digestOf, parseDigest } from "../spec/digest.ts";
import { readFile } from "../sys/file.ts";
import { MAX_DOCUMENT_BYTES, parseManifest } from "./documents.ts";
import { recordImageEvent } from "./event.ts";
import { keepShownImages } from "./keep-shown.ts";
import { formatPlatform, parsePlatform, platformRank } from "./platform.ts";
import { setOrigin } from "./publish.ts";
import { type LayerPush, pushLayer, type StoredLayer } from "./push-layer.ts";
import { familiarName, familiarReference, formatReference, parseReference, type Reference } from "./reference.ts";
import { type Image, readImage } from "./resolve.ts";
import { MAX_UPLOADS, Slots, shortDigest, type TransferEvent } from "./transfer.ts";

export interface PushOptions {
  /** As the user typed it. */
  readonly reference: string;
  readonly allTags?: boolean;
  /** The platform the image must be for. */
  readonly platform?: string | undefined;
  /** Layers at a time. */
  readonly maxUploads?: number;
  /** Blobs go in pieces of this size; whole without it. */
  readonly chunkSize?: number;
  readonly settings: RegistrySettings;
  readonly onEvent: (event: TransferEvent) => void;
}

/** Pushes a tag, or with `allTags` every one that the store has of a repository; returns the name Docker prints for -q. */
export async function pushImages(engine: Engine, options: PushOptions): Promise<string> {
  const parsed = parseReference(options.reference);
  if (parsed.digest !== undefined) throw new CtrError("invalid", "cannot push a digest reference");
  if (options.allTags === true && parsed.tag !== undefined) {
    throw new CtrError("invalid", "tag can't be used with --all-tags/-a");
  }
  const reference = options.allTags === true ? parsed : { ...parsed, tag: parsed.tag ?? "latest" };
  options.onEvent({ status: `The push refers to repository [${reference.domain}/${reference.path}]` });
  const images = imagesToPush(engine, reference);
  const abort = new AbortController();
  await using repository = await openRepository(reference, {
    settings: options.settings,
    actions: "push",
    signal: abort.signal,
  });
  for (const { tag, image } of images) {
    checkPlatform(image, options, { ...reference, tag });
    await pushOne({ engine, options, repository, reference: { ...reference, tag }, abort }, tag, image);
  }
  return options.allTags === true ? familiarName(reference) : familiarReference(reference);
}

interface Tagged {
  readonly tag: string;
  readonly image: Omit<Image, "reference">;
}

function imagesToPush(engine: Engine, reference: Reference): Tagged[] {
  const name = `${reference.domain}/${reference.path}`;
  const rows = engine.db
    .query<{ reference: string; image_id: string }, [string]>(
      "SELECT reference, image_id FROM tag WHERE substr(reference, 1, length(?1)) = ?1 ORDER BY reference",
    )
    .all(`${name}:`)
    .filter((row) => !row.reference.slice(name.length + 1).includes("/"));
  if (rows.length === 0) {
    throw new CtrError("not-found", `An image does not exist locally with the tag: ${familiarName(reference)}`);
  }
  const wanted =
    reference.tag === undefined ? rows : rows.filter((row) => row.reference === formatReference(reference));
  if (wanted.length === 0) throw new CtrError("not-found", `tag does not exist: ${familiarReference(reference)}`);
  return wanted.map((row) => ({
    tag: row.reference.slice(name.length + 1),
    image: readImage(engine, row.image_id),
  }));
}

function checkPlatform({ config }: Tagged["image"], { platform }: PushOptions, reference: Reference): void {
  if (platform === undefined) return;
  const wanted = parsePlatform(platform);
  if (platformRank(wanted, config) !== undefined) return;
  throw new CtrError(
    "not-found",
    `image with reference ${familiarReference(reference)} was found but does not match the specified platform: ` +
      `wanted ${formatPlatform(wanted)}, actual: ${formatPlatform(config)}`,
  );
}

interface Pushing {
  readonly engine: Engine;
  readonly options: PushOptions;
  readonly repository: Repository;
  readonly reference: Reference;
  /** Ends everything else when one layer fails. */
  readonly abort: AbortController;
}

async function pushOne(pushing: Pushing, tag: string, image: Tagged["image"]): Promise<void> {
  const { engine, options, repository, reference } = pushing;
  using workspace = openWorkspace(engine.root);
  using stored = openStored(engine, image);
  const push: LayerPush = {
    engine,
    workspace,
    repository,
    name: reference,
    chunkSize: options.chunkSize,
    signal: pushing.abort.signal,
    onEvent: options.onEvent,
  };
  const layers = await pushLayers(pushing, push, stored.layers);
  await pushConfig(repository, stored);
  const manifest = manifestFor(stored, layers);
  await repository.putManifest(tag, stored.mediaType, manifest);
  const digest = digestOf(manifest);
  transaction(engine.db, () => {
    // The image may have been removed meanwhile: then there is nothing to remember.
    if (engine.db.query("SELECT 1 FROM image WHERE id = ?").get(image.id) !== null) {
      const blobs = layers.map((layer) => layer.digest);
      setOrigin(engine, { repository: `${reference.domain}/${reference.path}`, digest, blobs }, image.id);
      keepShownImages(engine);
    }
    recordImageEvent(engine, "push", familiarReference(reference), familiarName(reference));
  });
  options.onEvent({ status: `${tag}: digest: ${digest} size: ${manifest.length}` });
}

interface StoredImage extends Disposable {
  readonly mediaType: string;
  /** The manifest as it is stored. */
  readonly bytes: Uint8Array;
  readonly config: Descriptor & { readonly bytes: Uint8Array };
  readonly layers: readonly StoredLayer[];
}

/** Opens everything first, so that what is removed meanwhile does not matter. */
function openStored(engine: Engine, image: Tagged["image"]): StoredImage {
  const row = engine.db
    .query<{ manifest: string; manifest_type: string }, [string]>(
      "SELECT manifest, manifest_type FROM image WHERE id = ?",
    )
    .get(image.id);
  if (row === null) throw new CtrError("not-found", `No such image: ${image.id}`);
  const bytes = readBlob(engine, parseDigest(row.manifest));
  const manifest = parseManifest(new TextDecoder().decode(bytes), `manifest ${row.manifest}`);
  using stack = new DisposableStack();
  const layers = manifest.layers.map((descriptor, position) => ({
    descriptor,
    diffId: image.config.rootfs.diff_ids[position] ?? descriptor.digest,
    blob: stack.use(openBlob(engine.root, descriptor.digest).fd),
  }));
  const config = { ...manifest.config, bytes: readBlob(engine, manifest.config.digest) };
  const owned = stack.move();
  return { mediaType: row.manifest_type, bytes, config, layers, [Symbol.dispose]: () => owned.dispose() };
}

function readBlob(engine: Engine, digest: Digest): Uint8Array {
  using blob = openBlob(engine.root, digest).fd;
  return readFile(`/proc/self/fd/${blob.number}`, MAX_DOCUMENT_BYTES);
}

async function pushLayers(
  { engine, options, abort }: Pushing,
  push: LayerPush,
  layers: readonly StoredLayer[],
): Promise<Descriptor[]> {
  // Top first, as Docker lists them.
  for (const { diffId } of layers.toReversed()) options.onEvent({ status: "Preparing", layer: shortDigest(diffId) });
  const atATime = options.maxUploads ?? loadEngineConfig({ CTR_CONFIG: engine.config }).maxUploads ?? MAX_UPLOADS;
  const slots = new Slots(atATime);
  /** A layer may be in an image twice; it is sent once. */
  const jobs = new Map<Digest, Promise<Descriptor>>();
  for (const layer of layers.toReversed()) {
    if (jobs.has(layer.descriptor.digest)) continue;
    const onWait = () => options.onEvent({ status: "Waiting", layer: shortDigest(layer.diffId) });
    const job = slots.run(async () => {
      abort.signal.throwIfAborted();
      return await pushLayer(push, layer);
    }, onWait);
    job.catch((error: unknown) => abort.abort(error)); // what comes of it is told below
    jobs.set(layer.descriptor.digest, job);
  }
  await Promise.allSettled(jobs.values());
  if (abort.signal.aborted) throw abort.signal.reason;
  const pushed: Descriptor[] = [];
  for (const { descriptor } of layers) pushed.push((await jobs.get(descriptor.digest)) ?? descriptor);
  return pushed;
}

async function pushConfig(repository: Repository, { config }: StoredImage): Promise<void> {
  if (await repository.hasBlob(config.digest)) return;
  await repository.upload(config, async function* (offset) {
    yield config.bytes.subarray(offset);
  });
}

/** The manifest as it is stored, byte for byte; with other layers only where some had to be compressed. */
function manifestFor({ bytes, layers: stored }: StoredImage, layers: readonly Descriptor[]): Uint8Array {
  if (layers.every((layer, position) => layer.digest === stored[position]?.descriptor.digest)) return bytes;
  const manifest: { layers: object[] } = JSON.parse(new TextDecoder().decode(bytes));
  const changed = manifest.layers.map((layer, position) => {
    const now = layers[position];
    if (now === undefined || now.digest === stored[position]?.descriptor.digest) return layer;
    return { ...layer, mediaType: now.mediaType, digest: now.digest, size: now.size };
  });
  return new TextEncoder().encode(JSON.stringify({ ...manifest, layers: changed }));
}
