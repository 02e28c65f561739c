/** `load`: images from a docker-archive (`manifest.json`) or an OCI layout (`index.json`) in a tar. */

import { BlobWriter } from "../content/blob-store.ts";
import { chainIds, type Digest, digestOf, parseDigest } from "../content/digest.ts";
import { openWorkspace, type Workspace } from "../content/workspace.ts";
import type { Engine } from "../db/engine.ts";
import { loadEngineConfig } from "../db/engine-config.ts";
import { CtrError, withContext } from "../errors/error.ts";
import { hasLayer, type UnpackedLayer } from "../snapshot/layers.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import type { LayerLimits } from "../spec/layer-entry.ts";
import { type ArchiveFile, type ArchiveFiles, bytesOf, compressionOf, openArchive, textOf } from "./archive-files.ts";
import { prepareStore } from "./collect.ts";
import { MAX_CONFIG_BYTES, parseImageConfig } from "./config.ts";
import {
  checkLayerCount,
  type Descriptor,
  MAX_DOCUMENT_BYTES,
  parseDockerArchive,
  parseIndex,
  parseManifest,
} from "./documents.ts";
import { recordImageEvent } from "./event.ts";
import {
  DOCKER_LIST_TYPE,
  DOCKER_MANIFEST_TYPE,
  IMAGE_NAME,
  INDEX_TYPE,
  LAYER_TYPES,
  MANIFEST_TYPE,
  REF_NAME,
} from "./media-types.ts";
import { formatPlatform, hostPlatform, type Platform, parsePlatform, platformRank } from "./platform.ts";
import {
  type PreparedBlob,
  type PreparedImage,
  type PreparedLayer,
  prepareBlob,
  prepareImage,
  publishImages,
} from "./publish.ts";
import { familiar, formatReference, parseReference, parseTarget, withDefaultTag } from "./reference.ts";
import { diffIdOf, unpackBlob } from "./unpack-blob.ts";

export interface LoadedImage {
  readonly id: string;
  /** In the familiar form. */
  readonly references: readonly string[];
}

/** How often a load starts again because another command removed a layer that it had found in the store. */
const MAX_CONFLICTS = 3;

/** Loads every image of the archive at `source` (a path, or `-` for standard input), all or none. */
export async function loadImages(engine: Engine, source: string, platformText?: string): Promise<LoadedImage[]> {
  for (let conflicts = 0; ; conflicts++) {
    try {
      return await loadOnce(engine, source, platformText);
    } catch (error) {
      // Standard input is there once.
      const isAgain = error instanceof CtrError && error.kind === "conflict" && conflicts < MAX_CONFLICTS;
      if (!isAgain || source === "-") throw error;
    }
  }
}

async function loadOnce(engine: Engine, source: string, platformText?: string): Promise<LoadedImage[]> {
  const asked = platformText === undefined ? undefined : parsePlatform(platformText);
  const platform = asked ?? hostPlatform();
  prepareStore(engine);
  using workspace = openWorkspace(engine.root);
  try {
    using files = await openArchive(source, workspace);
    const loading: Loading = {
      engine,
      workspace,
      files,
      unpacked: new Map(),
      kept: new Map(),
      limits: loadEngineConfig({ CTR_CONFIG: engine.config }).layerLimits,
    };
    const wanted =
      files.find("manifest.json") !== undefined ? fromDockerArchive(loading) : fromLayout(loading, platform);
    const images: PreparedImage[] = [];
    for (const one of wanted) images.push(await prepare(loading, one, asked));
    publishImages(engine, workspace, images, ({ config, references }) => {
      const [reference] = references;
      recordImageEvent(engine, "load", config.digest, reference === undefined ? config.digest : familiar(reference));
    });
    return images.map((image) => ({ id: image.config.digest, references: image.references.map(familiar) }));
  } catch (error) {
    throw withContext(source === "-" ? "load" : `load ${source}`, error);
  }
}

interface Loading {
  readonly engine: Engine;
  readonly workspace: Workspace;
  readonly files: ArchiveFiles;
  readonly limits: LayerLimits | undefined;
  /** Layers this command has unpacked, by chain id: images of one archive share them. */
  readonly unpacked: Map<Digest, UnpackedLayer>;
  /** Layers of the archive that are in the workspace, and what they were found to be. */
  readonly kept: Map<ArchiveFile, KeptLayer>;
}

interface KeptLayer {
  readonly blob: PreparedBlob;
  readonly diffId: Digest;
}

/** An image in the archive: which files it is made of. */
interface Wanted {
  readonly config: Uint8Array;
  readonly layers: readonly WantedLayer[];
  /** The manifest to keep; undefined where the archive has none and one is made. */
  readonly manifest: { readonly bytes: Uint8Array; readonly mediaType: string } | undefined;
  readonly references: readonly string[];
}

interface WantedLayer {
  readonly file: ArchiveFile;
  /** What its digest must be, where the archive says. */
  readonly digest: Digest | undefined;
}

function fromDockerArchive(loading: Loading): Wanted[] {
  const { files } = loading;
  const images = parseDockerArchive(textOf(files, "manifest.json", MAX_DOCUMENT_BYTES));
  if (images.length === 0) throw new CtrError("invalid", "the archive holds no image");
  return images.map((image) => ({
    config: bytesOf(files, image.config, MAX_CONFIG_BYTES),
    layers: image.layers.map((name) => ({ file: required(files, name), digest: undefined })),
    manifest: undefined,
    references: image.repoTags.map(parseTarget),
  }));
}

function fromLayout(loading: Loading, platform: Platform): Wanted[] {
  const { files } = loading;
  if (files.find("index.json") === undefined) {
    throw new CtrError("invalid", "not an image archive: it has neither manifest.json nor index.json");
  }
  const wanted: Wanted[] = [];
  for (const top of parseIndex(textOf(files, "index.json", MAX_DOCUMENT_BYTES), "index.json")) {
    const descriptor = choose(files, top, platform, 0);
    if (descriptor !== undefined) wanted.push(fromManifest(files, descriptor, top));
  }
  if (wanted.length === 0)
    throw new CtrError("not-found", `the archive holds no image for ${platform.os}/${platform.architecture}`);
  return wanted;
}

/** How deep indexes may lie in indexes. */
const MAX_INDEX_DEPTH = 4;

/** The manifest a descriptor stands for: itself, or the platform's one of an index. */
function choose(
  files: ArchiveFiles,
  descriptor: Descriptor,
  platform: Platform,
  depth: number,
): Descriptor | undefined {
  if (descriptor.mediaType !== INDEX_TYPE && descriptor.mediaType !== DOCKER_LIST_TYPE) {
    const isImage = ["", MANIFEST_TYPE, DOCKER_MANIFEST_TYPE].includes(descriptor.mediaType);
    return isImage && suits(descriptor, platform) ? descriptor : undefined;
  }
  if (depth >= MAX_INDEX_DEPTH)
    throw new CtrError("invalid", `indexes lie deeper than ${MAX_INDEX_DEPTH} in each other`);
  const bytes = documentOf(files, descriptor, MAX_DOCUMENT_BYTES);
  for (const inner of parseIndex(DECODER.decode(bytes), blobName(descriptor.digest))) {
    const chosen = choose(files, inner, platform, depth + 1);
    if (chosen !== undefined) return chosen;
  }
  return undefined;
}

function suits(descriptor: Descriptor, platform: Platform): boolean {
  return descriptor.platform === undefined || platformRank(platform, descriptor.platform) !== undefined;
}

function fromManifest(files: ArchiveFiles, descriptor: Descriptor, top: Descriptor): Wanted {
  const bytes = documentOf(files, descriptor, MAX_DOCUMENT_BYTES);
  const manifest = parseManifest(DECODER.decode(bytes), blobName(descriptor.digest));
  return {
    config: documentOf(files, manifest.config, MAX_CONFIG_BYTES),
    layers: manifest.layers.map((layer) => ({ file: sizedFile(files, layer), digest: layer.digest })),
    manifest: { bytes, mediaType: manifest.mediaType ?? MANIFEST_TYPE },
    references: referencesOf(top),
  };
}

const DECODER = new TextDecoder();

/** The whole name if the archive has it; `ref.name` may be just a tag, which names nothing. */
function referencesOf(descriptor: Descriptor): string[] {
  const full = descriptor.annotations[IMAGE_NAME];
  const short = descriptor.annotations[REF_NAME];
  const text = full ?? (short !== undefined && /[/:]/.test(short) ? short : undefined);
  if (text === undefined) return [];
  const reference = withDefaultTag(parseReference(text));
  return reference.digest === undefined ? [formatReference(reference)] : [];
}

function blobName(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** The file of a descriptor, with the size it says. */
function sizedFile(files: ArchiveFiles, { digest, size }: Descriptor): ArchiveFile {
  const file = required(files, blobName(digest));
  if (file.size !== size)
    throw new CtrError("invalid", `${blobName(digest)} is damaged: it has ${file.size} bytes instead of ${size}`);
  return file;
}

/** A small file of a descriptor, with the digest and size it says. */
function documentOf(files: ArchiveFiles, descriptor: Descriptor, maxBytes: number): Uint8Array {
  sizedFile(files, descriptor);
  const bytes = bytesOf(files, blobName(descriptor.digest), maxBytes);
  verify(descriptor.digest, digestOf(bytes));
  return bytes;
}

function verify(expected: Digest, found: Digest): void {
  if (found !== expected) throw new CtrError("invalid", `${blobName(expected)} is damaged: it has digest ${found}`);
}

function required(files: ArchiveFiles, name: string): ArchiveFile {
  const file = files.find(name);
  if (file === undefined) throw new CtrError("invalid", `the archive has no ${name}`);
  return file;
}

/** `asked` is the platform that was asked for: without one, an image of any is taken. */
async function prepare(loading: Loading, wanted: Wanted, asked: Platform | undefined): Promise<PreparedImage> {
  const configText = DECODER.decode(wanted.config);
  const config = parseImageConfig(configText);
  if (config.os !== "" && config.os !== "linux") {
    throw new CtrError("unsupported", `cannot load ${config.os} image on linux`);
  }
  if (asked !== undefined && platformRank(asked, config) === undefined) {
    const [reference] = wanted.references;
    throw new CtrError(
      "not-found",
      `image ${reference === undefined ? digestOf(wanted.config) : familiar(reference)} of the archive is for ` +
        `${formatPlatform(config)}, not for the specified platform (${formatPlatform(asked)})`,
    );
  }
  const diffIds = config.rootfs.diff_ids.map((diffId) => parseDigest(diffId, "diff id"));
  if (diffIds.length !== wanted.layers.length) {
    throw new CtrError(
      "invalid",
      `invalid manifest, layers length mismatch: expected ${diffIds.length}, got ${wanted.layers.length}`,
    );
  }
  checkLayerCount(diffIds.length);
  const chain = chainIds(diffIds);
  const layers: PreparedLayer[] = [];
  const lower: string[] = [];
  for (const [position, wantedLayer] of wanted.layers.entries()) {
    const [chainId, diffId] = [chain[position], diffIds[position]];
    if (chainId === undefined || diffId === undefined) throw new CtrError("internal", "a layer without a diff id");
    const layer = await prepareOne(loading, wantedLayer, chainId, diffId, lower);
    layers.push(layer);
    lower.unshift(layer.unpacked?.path ?? lowerDirectories(loading.engine, [chainId])[0] ?? "");
  }
  const { references } = wanted;
  if (wanted.manifest === undefined) {
    return prepareImage(loading.workspace, { configText, layers, parent: undefined, references });
  }
  const { bytes, mediaType } = wanted.manifest;
  return {
    config: prepareBlob(loading.workspace, wanted.config),
    configText,
    manifest: { ...prepareBlob(loading.workspace, bytes), mediaType },
    layers,
    parent: undefined,
    references,
  };
}

async function prepareOne(
  loading: Loading,
  { file, digest }: WantedLayer,
  chainId: Digest,
  diffId: Digest,
  lower: readonly string[],
): Promise<PreparedLayer> {
  const { engine, workspace, kept } = loading;
  const known = loading.unpacked.get(chainId);
  const before = kept.get(file);
  const isKept = before !== undefined || file.spooled !== undefined;
  using writer = isKept ? undefined : new BlobWriter(workspace, `layer-blob-${kept.size}`);
  // Unpacked before or not, the blob that is kept must be what the config says: it is saved again one day.
  const isThere = known !== undefined || hasLayer(engine, chainId);
  const fresh = isThere
    ? undefined
    : await unpackBlob(file.chunks(), workspace, lower, {
        keep: writer,
        limits: loading.limits,
        digest: file.spooled?.digest,
      });
  const foundDiffId = fresh?.diffId ?? before?.diffId ?? (await diffIdOf(file.chunks(), writer));
  const blob = before?.blob ?? blobOf(file, writer);
  kept.set(file, { diffId: foundDiffId, blob });
  if (digest !== undefined) verify(digest, blob.digest);
  if (foundDiffId !== diffId)
    throw new CtrError("invalid", `invalid diffID for layer: expected ${diffId}, got ${foundDiffId}`);
  const unpacked = known ?? fresh?.layer;
  if (unpacked !== undefined) loading.unpacked.set(chainId, unpacked);
  return { chainId, diffId, blob, mediaType: LAYER_TYPES[compressionOf(file)], unpacked };
}

function blobOf(file: ArchiveFile, writer: BlobWriter | undefined): PreparedBlob {
  if (writer !== undefined) return { ...writer.finish(), path: writer.path };
  if (file.spooled === undefined) throw new CtrError("internal", "a layer that was not kept");
  return file.spooled;
}
