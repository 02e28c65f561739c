/** `pull`: images from a registry into the store. */
import { collectDownloads } from "../content/download.ts";
import { openWorkspace } from "../content/workspace.ts";
import { transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { loadEngineConfig } from "../db/engine-config.ts";
import { CtrError, withContext } from "../errors/error.ts";

import { type ManifestBytes, openRepository, type Repository } from "../registry/repository.ts";
import type { RegistrySettings } from "../registry/settings.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { chainIds, type Digest, parseDigest } from "../spec/digest.ts";
import { collectGarbage } from "./collect.ts";
import { MAX_DOCUMENT_BYTES } from "./documents.ts";
import { recordImageEvent } from "./event.ts";
import { writeListings } from "./listings.ts";
import { hostPlatform, type Platform, parsePlatform, platformRank } from "./platform.ts";
import { nameImage, type PreparedImage, type PreparedLayer, prepareBlob, publishImages } from "./publish.ts";
import { isDiskFull, isLayerHere, type LayerPull, presentLayer, pullLayer, type WantedLayer } from "./pull-layer.ts";
import { chooseImage, fetchConfig, type RemoteConfig, type RemoteImage } from "./pull-manifest.ts";
import {
  familiarName,
  familiarReference,
  formatReference,
  parseReference,
  type Reference,
  withDefaultTag,
} from "./reference.ts";
import { resolveImage } from "./resolve.ts";
import { MAX_DOWNLOADS, Slots, shortDigest, type TransferEvent } from "./transfer.ts";

export interface PullOptions {
  /** As the user typed it. */
  readonly reference: string;
  readonly allTags?: boolean;
  readonly platform?: string | undefined;
  /** Layers at a time. */
  readonly maxDownloads?: number;
  readonly settings: RegistrySettings;
  readonly onEvent: (event: TransferEvent) => void;
}

/** Pulls an image, or with `allTags` every one of a repository; returns the name that Docker prints at the end. */
export async function pullImages(engine: Engine, options: PullOptions): Promise<string> {
  const parsed = parseReference(options.reference);
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  if (options.allTags === true && (parsed.tag !== undefined || parsed.digest !== undefined)) {
    throw new CtrError("invalid", "tag can't be used with --all-tags/-a");
  }
  const reference = options.allTags === true ? parsed : withDefaultTag(parsed);
  const abort = new AbortController();
  await using repository = await openRepository(reference, {
    settings: options.settings,
    actions: "pull",
    signal: abort.signal,
  });
  const pulling: Pulling = { engine, options, platform, repository, abort };
  let isNew = false;
  for await (const one of options.allTags === true ? taggedReferences(repository, reference) : [reference]) {
    isNew = (await pullOne(pulling, one)) || isNew;
  }
  const shown = options.allTags === true ? familiarName(reference) : familiarReference(withoutIdleTag(reference));
  options.onEvent({ status: `Status: ${isNew ? "Downloaded newer image" : "Image is up to date"} for ${shown}` });
  return formatReference(reference);
}

interface Pulling {
  readonly engine: Engine;
  readonly options: PullOptions;
  readonly platform: Platform;
  readonly repository: Repository;
  /** Ends everything else when one layer fails. */
  readonly abort: AbortController;
}

async function* taggedReferences(repository: Repository, reference: Reference): AsyncGenerator<Reference, void> {
  try {
    for await (const tag of repository.tags()) yield { ...reference, tag };
  } catch (error) {
    if (!(error instanceof CtrError) || error.kind !== "not-found") throw error;
    throw withContext(`repository ${familiarName(reference)} not found`, error);
  }
}

/** Beside a digest the tag says nothing: neither what is pulled nor what it is called afterwards. */
function withoutIdleTag(reference: Reference): Reference {
  return reference.digest === undefined ? reference : { ...reference, tag: undefined };
}

/** How often a pull starts again because another command removed what it had found in the store. */
const MAX_CONFLICTS = 3;

/** True if the store did not have this image under this name before. */
async function pullOne(pulling: Pulling, typed: Reference): Promise<boolean> {
  const { engine, options, repository, abort } = pulling;
  const reference = withoutIdleTag(typed);
  const name = `${reference.domain}/${reference.path}`;
  const wanted = reference.digest ?? reference.tag ?? "latest";
  const tellBeginning = () =>
    options.onEvent({
      status: `Pulling from ${reference.path}`,
      tag: reference.digest === undefined ? wanted : familiarReference(reference),
    });
  const known = await knownDigest(pulling, reference, wanted);
  if (known !== undefined) {
    tellBeginning();
    options.onEvent({ status: `Digest: ${known}` });
    return false;
  }
  const document = await found(reference, repository.manifest(wanted, MAX_DOCUMENT_BYTES));
  tellBeginning();
  const before = imageIdOf(engine, reference);
  for (let conflicts = 0; ; conflicts++) {
    try {
      const id = await pullDocument(pulling, { reference, name, document });
      options.onEvent({ status: `Digest: ${document.digest}` });
      return id !== before;
    } catch (error) {
      if (!isConflict(error) || abort.signal.aborted || conflicts >= MAX_CONFLICTS) throw error;
    }
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof CtrError && error.kind === "conflict";
}

/** The digest a name has in the registry, if the store has that image under that name already. */
async function knownDigest(pulling: Pulling, reference: Reference, wanted: string): Promise<Digest | undefined> {
  const id = imageIdOf(pulling.engine, reference);
  if (id === undefined || !suits(pulling, id)) return undefined;
  const digest =
    reference.digest === undefined
      ? (await found(reference, pulling.repository.resolve(wanted))).digest
      : parseDigest(wanted);
  const { domain, path } = reference;
  return imageIdOf(pulling.engine, { domain, path, tag: undefined, digest }) === id ? digest : undefined;
}

/** What a registry answers, with Docker's words if it has no such manifest. */
async function found<T>(reference: Reference, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof CtrError) || error.kind !== "not-found") throw error;
    throw withContext(`manifest for ${familiarReference(reference)} not found`, error);
  }
}

function imageIdOf(engine: Engine, reference: Reference): string | undefined {
  const full = formatReference(reference);
  const table = reference.digest === undefined ? "tag" : "repo_digest";
  return engine.db.query<{ image_id: string }, [string]>(`SELECT image_id FROM ${table} WHERE reference = ?`).get(full)
    ?.image_id;
}

/** False for an image that was pulled for another platform; the name may have one for this one too. */
function suits({ engine, platform }: Pulling, id: string): boolean {
  return platformRank(platform, resolveImage(engine, id).config) !== undefined;
}

interface Remote {
  readonly reference: Reference;
  /** Its repository's full name. */
  readonly name: string;
  /** What the tag or digest stands for: a manifest or an index. */
  readonly document: ManifestBytes;
}

/** Pulls the platform's image of a document, and names it; its id. */
async function pullDocument(pulling: Pulling, remote: Remote): Promise<string> {
  const { engine, repository, platform } = pulling;
  const image = await chooseImage(repository, remote.document, platform);
  const { config: descriptor } = image.manifest;
  const names = {
    references: remote.reference.digest === undefined ? [formatReference(remote.reference)] : [],
    origin: {
      repository: remote.name,
      digest: remote.document.digest,
      blobs: image.manifest.layers.map((layer) => layer.digest),
    },
    parent: undefined,
  };
  const record = () => {
    recordImageEvent(engine, "pull", familiarReference(remote.reference), familiarName(remote.reference));
  };
  if (nameKnownImage(engine, descriptor.digest, names, record)) return descriptor.digest;
  const config = await fetchConfig(repository, image.manifest);
  using workspace = openWorkspace(engine.root);
  const layers = await pullLayers({ ...pulling, workspace }, image, config);
  const { document } = image;
  const manifest = { ...prepareBlob(workspace, document.bytes), mediaType: document.mediaType };
  const blob = prepareBlob(workspace, config.bytes);
  const prepared: PreparedImage = { config: blob, configText: config.text, manifest, layers, ...names };
  publishImages(engine, workspace, [prepared], record);
  collectDownloads(engine.root); // those that the store has now
  return descriptor.digest;
}

/** Names an image that the store has; false if it does not. */
function nameKnownImage(
  engine: Engine,
  id: string,
  names: Pick<PreparedImage, "references" | "origin">,
  record: () => void,
): boolean {
  return transaction(engine.db, () => {
    if (engine.db.query("SELECT 1 FROM image WHERE id = ?").get(id) === null) return false;
    nameImage(engine, names, id);
    record();
    writeListings(engine);
    return true;
  });
}

interface LayersPull extends Pulling, Pick<LayerPull, "workspace"> {}

/** All layers, several at a time. They are unpacked at once too: what lies below is only waited for at a layer's end. */
async function pullLayers(pulling: LayersPull, image: RemoteImage, config: RemoteConfig): Promise<PreparedLayer[]> {
  const { engine, options, abort } = pulling;
  const chain = chainIds(config.diffIds);
  const wanted = image.manifest.layers.map((descriptor, position): WantedLayer => {
    const [diffId, chainId] = [config.diffIds[position], chain[position]];
    if (diffId === undefined || chainId === undefined) throw new CtrError("internal", "a layer without a diff id");
    return { descriptor, diffId, chainId };
  });
  const isHere = wanted.map((layer) => isLayerHere(engine, layer));
  for (const [position, { descriptor }] of wanted.entries()) {
    options.onEvent({
      status: isHere[position] ? "Already exists" : "Pulling fs layer",
      layer: shortDigest(descriptor.digest),
    });
  }
  if (isHere.includes(false)) collectGarbage(engine);
  const atATime = options.maxDownloads ?? loadEngineConfig({ CTR_CONFIG: engine.config }).maxDownloads ?? MAX_DOWNLOADS;
  const slots = new Slots(atATime);
  const pull: LayerPull = { ...pulling, signal: abort.signal, onEvent: options.onEvent };
  const pending: Promise<PreparedLayer>[] = [];
  for (const [position, layer] of wanted.entries()) {
    if (isHere[position] === true) {
      pending.push(Promise.resolve(presentLayer(layer)));
      continue;
    }
    const lower = position === 0 ? [] : directoriesOf(engine, [...pending]);
    const id = shortDigest(layer.descriptor.digest);
    const onWait = () => options.onEvent({ status: "Waiting", layer: id });
    // In this order they get their turn, so whoever waits for the layers below waits for one that is being pulled.
    // The same blob twice in an image is fetched by the first; the other one finds it on the disk.
    const twin = pending[wanted.findIndex(({ descriptor }) => descriptor.digest === layer.descriptor.digest)];
    const job = slots.run(async () => {
      abort.signal.throwIfAborted();
      await twin;
      return await pullLayer(pull, layer, lower);
    }, onWait);
    job.catch((error: unknown) => {
      // What comes of it is told below. A conflict is tried again, and what the others do meanwhile is not lost.
      if (!isConflict(error)) abort.abort(error);
    });
    pending.push(job);
  }
  const results = await Promise.allSettled(pending);
  // What is only kept for another attempt must not stand in its way.
  if (isDiskFull(abort.signal.reason)) collectDownloads(engine.root, true);
  if (abort.signal.aborted) throw abort.signal.reason;
  return results.map((result) => {
    if (result.status === "rejected") throw withContext("pull", result.reason);
    return result.value;
  });
}

/** The directories of layers that are being pulled, once they are there, topmost first. */
function directoriesOf(engine: Engine, below: readonly Promise<PreparedLayer>[]): Promise<readonly string[]> {
  const directories = Promise.all(below).then((layers) =>
    layers.map(({ unpacked, chainId }) => unpacked?.path ?? lowerDirectories(engine, [chainId])[0] ?? "").reverse(),
  );
  directories.catch(() => {}); // a layer that never asks need not hear of it: the failing one has told
  return directories;
}
