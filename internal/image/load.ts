/** `load`: images from a docker-archive (`manifest.json`) or an OCI layout (`index.json`) in a tar. */

import { detectCompression } from "../archive/decompress.ts";
import { readChunks } from "../content/blob-store.ts";
import { chainIds, type Digest, parseDigest } from "../content/digest.ts";
import { openWorkspace, type Workspace } from "../content/workspace.ts";
import type { Engine } from "../db/engine.ts";
import { CtrError, withContext } from "../errors/error.ts";
import { hasLayer, type UnpackedLayer } from "../snapshot/layers.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { O_RDONLY, open, pread } from "../sys/fd.ts";
import { type ArchiveFile, type ArchiveFiles, spoolArchive, textOf } from "./archive-files.ts";
import { collectGarbage } from "./collect.ts";
import { MAX_CONFIG_BYTES, parseImageConfig } from "./config.ts";
import { type Descriptor, MAX_DOCUMENT_BYTES, parseDockerArchive, parseIndex, parseManifest } from "./documents.ts";
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
import { hostPlatform, type Platform, parsePlatform, platformRank } from "./platform.ts";
import {
  type PreparedImage,
  type PreparedLayer,
  type PreparedManifest,
  prepareImage,
  publishImages,
} from "./publish.ts";
import { familiar, formatReference, parseReference, parseTarget, withDefaultTag } from "./reference.ts";
import { readSource } from "./source.ts";
import { diffIdOf, unpackBlob } from "./unpack-blob.ts";

export interface LoadedImage {
  readonly id: string;
  /** In the familiar form. */
  readonly references: readonly string[];
}

/** Loads every image of the archive at `source` (a path, or `-` for standard input), all or none. */
export async function loadImages(engine: Engine, source: string, platformText?: string): Promise<LoadedImage[]> {
  const platform = platformText === undefined ? hostPlatform() : parsePlatform(platformText);
  collectGarbage(engine);
  using workspace = openWorkspace(engine.root);
  try {
    const files = await spoolArchive(readSource(source), workspace);
    const loading: Loading = { engine, workspace, files, unpacked: new Map() };
    const wanted =
      files.find("manifest.json") !== undefined ? fromDockerArchive(loading) : fromLayout(loading, platform);
    const images: PreparedImage[] = [];
    for (const one of wanted) images.push(await prepare(loading, one));
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
  /** Layers this command has unpacked, by chain id: images of one archive share them. */
  readonly unpacked: Map<Digest, UnpackedLayer>;
}

/** An image in the archive: which files it is made of. */
interface Wanted {
  readonly config: ArchiveFile;
  readonly configText: string;
  readonly layers: readonly ArchiveFile[];
  /** The manifest to keep; undefined where the archive has none and one is made. */
  readonly manifest: PreparedManifest | undefined;
  readonly references: readonly string[];
}

function fromDockerArchive(loading: Loading): Wanted[] {
  const { files } = loading;
  const images = parseDockerArchive(textOf(files, "manifest.json", MAX_DOCUMENT_BYTES));
  if (images.length === 0) throw new CtrError("invalid", "the archive holds no image");
  return images.map((image) => ({
    config: required(files, image.config),
    configText: textOf(files, image.config, MAX_CONFIG_BYTES),
    layers: image.layers.map((name) => required(files, name)),
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
  const name = blobName(descriptor.digest);
  verify(files, descriptor);
  for (const inner of parseIndex(textOf(files, name, MAX_DOCUMENT_BYTES), name)) {
    const chosen = choose(files, inner, platform, depth + 1);
    if (chosen !== undefined) return chosen;
  }
  return undefined;
}

function suits(descriptor: Descriptor, platform: Platform): boolean {
  return descriptor.platform === undefined || platformRank(platform, descriptor.platform) !== undefined;
}

function fromManifest(files: ArchiveFiles, descriptor: Descriptor, top: Descriptor): Wanted {
  const file = verify(files, descriptor);
  const name = blobName(descriptor.digest);
  const manifest = parseManifest(textOf(files, name, MAX_DOCUMENT_BYTES), name);
  const config = verify(files, manifest.config);
  return {
    config,
    configText: textOf(files, blobName(manifest.config.digest), MAX_CONFIG_BYTES),
    layers: manifest.layers.map((layer) => verify(files, layer)),
    manifest: { ...file, mediaType: manifest.mediaType ?? MANIFEST_TYPE },
    references: referencesOf(top),
  };
}

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

/** The file of a descriptor, with the digest and size it says. */
function verify(files: ArchiveFiles, descriptor: Descriptor): ArchiveFile {
  const file = required(files, blobName(descriptor.digest));
  if (file.digest !== descriptor.digest || file.size !== descriptor.size) {
    throw new CtrError(
      "invalid",
      `${blobName(descriptor.digest)} is damaged: it has digest ${file.digest} and ${file.size} bytes`,
    );
  }
  return file;
}

function required(files: ArchiveFiles, name: string): ArchiveFile {
  const file = files.find(name);
  if (file === undefined) throw new CtrError("invalid", `the archive has no ${name}`);
  return file;
}

async function prepare(loading: Loading, wanted: Wanted): Promise<PreparedImage> {
  const config = parseImageConfig(wanted.configText);
  if (config.os !== "" && config.os !== "linux") {
    throw new CtrError("unsupported", `cannot load ${config.os} image on linux`);
  }
  const diffIds = config.rootfs.diff_ids.map((diffId) => parseDigest(diffId, "diff id"));
  if (diffIds.length !== wanted.layers.length) {
    throw new CtrError(
      "invalid",
      `invalid manifest, layers length mismatch: expected ${diffIds.length}, got ${wanted.layers.length}`,
    );
  }
  const chain = chainIds(diffIds);
  const layers: PreparedLayer[] = [];
  const lower: string[] = [];
  for (const [position, file] of wanted.layers.entries()) {
    const [chainId, diffId] = [chain[position], diffIds[position]];
    if (chainId === undefined || diffId === undefined) throw new CtrError("internal", "a layer without a diff id");
    const layer = await prepareOne(loading, file, chainId, diffId, lower);
    layers.push(layer);
    lower.unshift(layer.unpacked?.path ?? lowerDirectories(loading.engine, [chainId])[0] ?? "");
  }
  const { references } = wanted;
  if (wanted.manifest === undefined) {
    const made = prepareImage(loading.workspace, {
      configText: wanted.configText,
      layers,
      parent: undefined,
      references,
    });
    return { ...made, config: wanted.config };
  }
  return {
    config: wanted.config,
    configText: wanted.configText,
    manifest: wanted.manifest,
    layers,
    parent: undefined,
    references,
  };
}

async function prepareOne(
  loading: Loading,
  file: ArchiveFile,
  chainId: Digest,
  diffId: Digest,
  lower: readonly string[],
): Promise<PreparedLayer> {
  const mediaType = LAYER_TYPES[detectCompression(headOf(file))];
  const blob = { digest: file.digest, size: file.size, path: file.path };
  const known = loading.unpacked.get(chainId);
  const isInstalled = known === undefined && hasLayer(loading.engine, chainId);
  using fd = open(file.path, O_RDONLY);
  const source = readChunks(fd.number);
  // Unpacked before or not, the blob that is kept must be what the config says: it is saved again one day.
  const fresh = known === undefined && !isInstalled ? await unpackBlob(source, loading.workspace, lower) : undefined;
  const found = fresh?.diffId ?? (await diffIdOf(source));
  if (found !== diffId) throw new CtrError("invalid", `invalid diffID for layer: expected ${diffId}, got ${found}`);
  if (fresh !== undefined) loading.unpacked.set(chainId, fresh.layer);
  return { chainId, diffId, blob, mediaType, unpacked: known ?? fresh?.layer };
}

function headOf(file: ArchiveFile): Uint8Array {
  using fd = open(file.path, O_RDONLY);
  const head = new Uint8Array(6);
  return head.subarray(0, pread(fd.number, head, 0));
}
