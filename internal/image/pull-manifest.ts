/** From a tag or digest of a repository to one platform's image: its manifest and its config, verified. */

import { verified } from "../content/blob-store.ts";
import { CtrError } from "../errors/error.ts";
import type { ManifestBytes, Repository } from "../registry/repository.ts";
import { type Digest, parseDigest } from "../spec/digest.ts";
import { type ImageConfig, MAX_CONFIG_BYTES, parseImageConfig } from "./config.ts";
import {
  checkLayerCount,
  type Descriptor,
  MAX_DOCUMENT_BYTES,
  type Manifest,
  parseIndex,
  parseManifest,
} from "./documents.ts";
import {
  CONFIG_TYPE,
  DOCKER_CONFIG_TYPE,
  DOCKER_LIST_TYPE,
  DOCKER_MANIFEST_TYPE,
  INDEX_TYPE,
  MANIFEST_TYPE,
} from "./media-types.ts";
import { formatPlatform, type Platform, platformRank } from "./platform.ts";

export interface RemoteImage {
  /** As it came. */
  readonly document: ManifestBytes;
  readonly manifest: Manifest;
}

export interface RemoteConfig {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly config: ImageConfig;
  readonly diffIds: readonly Digest[];
}

/** How deep indexes may lie in indexes. */
const MAX_INDEX_DEPTH = 4;

/** The image for `platform` that a manifest or index stands for. Throws with Docker's words if there is none. */
export async function chooseImage(
  repository: Repository,
  document: ManifestBytes,
  platform: Platform,
): Promise<RemoteImage> {
  const found = await choose(repository, document, platform, 0);
  if (found !== undefined) return found;
  throw new CtrError("not-found", `no matching manifest for ${formatPlatform(platform)} in the manifest list entries`);
}

async function choose(
  repository: Repository,
  document: ManifestBytes,
  platform: Platform,
  depth: number,
): Promise<RemoteImage | undefined> {
  const text = new TextDecoder().decode(document.bytes);
  switch (document.mediaType) {
    case MANIFEST_TYPE:
    case DOCKER_MANIFEST_TYPE:
      return { document, manifest: checkedManifest(text, document) };
    case INDEX_TYPE:
    case DOCKER_LIST_TYPE:
      break;
    case "application/vnd.docker.distribution.manifest.v1+json":
    case "application/vnd.docker.distribution.manifest.v1+prettyjws":
      throw new CtrError("unsupported", "manifests of schema version 1 are not supported: push the image again");
    default:
      throw new CtrError("unsupported", `unsupported manifest media type ${JSON.stringify(document.mediaType)}`);
  }
  if (depth >= MAX_INDEX_DEPTH)
    throw new CtrError("invalid", `indexes lie deeper than ${MAX_INDEX_DEPTH} in each other`);
  for (const descriptor of ranked(parseIndex(text, `index ${document.digest}`), platform)) {
    const inner = await repository.manifest(descriptor.digest, MAX_DOCUMENT_BYTES);
    if (inner.bytes.length !== descriptor.size) {
      throw new CtrError(
        "invalid",
        `manifest ${descriptor.digest} has ${inner.bytes.length} bytes instead of ${descriptor.size}`,
      );
    }
    const found = await choose(repository, inner, platform, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What may be or hold the platform's image, best first. An entry without a platform says nothing against it. */
function ranked(entries: readonly Descriptor[], platform: Platform): readonly Descriptor[] {
  return entries
    .flatMap((descriptor) => {
      const rank = descriptor.platform === undefined ? 1000 : platformRank(platform, descriptor.platform);
      return rank === undefined ? [] : [{ descriptor, rank }];
    })
    .sort((a, b) => a.rank - b.rank)
    .map(({ descriptor }) => descriptor);
}

const CONFIG_TYPES = new Set([CONFIG_TYPE, DOCKER_CONFIG_TYPE, "application/octet-stream", ""]);

function checkedManifest(text: string, document: ManifestBytes): Manifest {
  const manifest = parseManifest(text, `manifest ${document.digest}`);
  if (!CONFIG_TYPES.has(manifest.config.mediaType)) {
    throw new CtrError(
      "unsupported",
      `not a container image: its config has the media type ${JSON.stringify(manifest.config.mediaType)}`,
    );
  }
  checkLayerCount(manifest.layers.length);
  return manifest;
}

/** The image's config, checked against its manifest. */
export async function fetchConfig(repository: Repository, manifest: Manifest): Promise<RemoteConfig> {
  const { config: descriptor } = manifest;
  if (descriptor.size > MAX_CONFIG_BYTES)
    throw new CtrError("invalid", `the image's config is larger than ${MAX_CONFIG_BYTES} bytes`);
  const bytes = await readBlob(repository, descriptor);
  const text = new TextDecoder().decode(bytes);
  const config = parseImageConfig(text);
  if (config.os !== "" && config.os !== "linux") {
    throw new CtrError(
      "unsupported",
      `image operating system ${JSON.stringify(config.os)} cannot be used on this platform`,
    );
  }
  const diffIds = config.rootfs.diff_ids.map((diffId) => parseDigest(diffId, "diff id"));
  if (diffIds.length !== manifest.layers.length) {
    throw new CtrError(
      "invalid",
      `invalid image: its config names ${diffIds.length} layers, its manifest ${manifest.layers.length}`,
    );
  }
  return { text, bytes, config, diffIds };
}

/** A small blob, verified. */
async function readBlob(repository: Repository, descriptor: Descriptor): Promise<Uint8Array> {
  const { offset, body } = await repository.blob(descriptor, 0);
  if (offset !== 0) throw new CtrError("internal", `blob ${descriptor.digest} does not start at its first byte`);
  const whole = new Uint8Array(descriptor.size);
  let at = 0;
  for await (const chunk of verified(body, descriptor)) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
