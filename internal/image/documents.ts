/** The JSON documents around an image: OCI manifest and index, Docker's manifest.json. Parsed once, checked whole. */
import { type Digest, parseDigest } from "../content/digest.ts";
import { CtrError } from "../errors/error.ts";

/** The largest manifest or index that is read, as registries limit them (distribution-spec). */
export const MAX_DOCUMENT_BYTES = 4 << 20;

/** overlayfs stacks no more (OVL_MAX_STACK in the kernel's fs/overlayfs). */
const MAX_LAYERS = 500;

/** Throws CtrError `invalid` for more layers than can be stacked: they would be unpacked for nothing. */
export function checkLayerCount(count: number): void {
  if (count > MAX_LAYERS)
    throw new CtrError("invalid", `the image has ${count} layers, at most ${MAX_LAYERS} are possible`);
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: { readonly [name: string]: string };
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant: string } | undefined;
}

export interface Manifest {
  readonly mediaType: string | undefined;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** One image of a docker-archive (`manifest.json`): paths inside the archive. */
export interface DockerArchiveImage {
  readonly config: string;
  readonly repoTags: readonly string[];
  readonly layers: readonly string[];
}

type Json = { readonly [key: string]: unknown };

const MAX_ITEMS = 10_000;

/** image-spec image-index.md. */
export function parseIndex(text: string, name: string): readonly Descriptor[] {
  const index = object(json(text, name), name);
  return list(index["manifests"], `${name}: manifests`).map((item) => parseDescriptor(item, name));
}

/** image-spec manifest.md, and Docker's schema 2, which has the same members. */
export function parseManifest(text: string, name: string): Manifest {
  const manifest = object(json(text, name), name);
  if (manifest["schemaVersion"] !== 2) throw new CtrError("unsupported", `${name}: only schema version 2 is supported`);
  const mediaType = manifest["mediaType"];
  return {
    mediaType: typeof mediaType === "string" ? mediaType : undefined,
    config: parseDescriptor(manifest["config"], name),
    layers: list(manifest["layers"], `${name}: layers`).map((item) => parseDescriptor(item, name)),
  };
}

/** `manifest.json` of `docker save`. */
export function parseDockerArchive(text: string): readonly DockerArchiveImage[] {
  const name = "manifest.json";
  return list(json(text, name), name).map((item) => {
    const image = object(item, name);
    return {
      config: string(image["Config"], `${name}: Config`),
      repoTags: list(image["RepoTags"], `${name}: RepoTags`).map((tag) => string(tag, `${name}: RepoTags`)),
      layers: list(image["Layers"], `${name}: Layers`).map((layer) => string(layer, `${name}: Layers`)),
    };
  });
}

function parseDescriptor(value: unknown, name: string): Descriptor {
  const descriptor = object(value, `${name}: descriptor`);
  const size = descriptor["size"];
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw wrong(`${name}: size`);
  const annotations: { [name: string]: string } = {};
  for (const [key, text] of Object.entries(object(descriptor["annotations"] ?? {}, `${name}: annotations`))) {
    annotations[key] = string(text, `${name}: annotations`);
  }
  const platform = descriptor["platform"];
  return {
    mediaType: string(descriptor["mediaType"] ?? "", `${name}: mediaType`),
    digest: parseDigest(string(descriptor["digest"], `${name}: digest`)),
    size,
    annotations,
    platform:
      platform === undefined || platform === null
        ? undefined
        : parsePlatformObject(object(platform, `${name}: platform`), name),
  };
}

function parsePlatformObject(platform: Json, name: string): NonNullable<Descriptor["platform"]> {
  return {
    os: string(platform["os"] ?? "", `${name}: os`),
    architecture: string(platform["architecture"] ?? "", `${name}: architecture`),
    variant: string(platform["variant"] ?? "", `${name}: variant`),
  };
}

function json(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CtrError("invalid", `${name} is not JSON`, { cause: error });
  }
}

function object(value: unknown, name: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(name);
  return value as Json;
}

function list(value: unknown, name: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > MAX_ITEMS) throw wrong(name);
  return value;
}

function string(value: unknown, name: string): string {
  if (typeof value !== "string") throw wrong(name);
  return value;
}

function wrong(name: string): CtrError {
  return new CtrError("invalid", `${name} is not what it should be`);
}
