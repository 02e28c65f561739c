/** `docker manifest inspect`: manifests as Docker shows them, from the registry, without an image store. */
import { parseDigest } from "../spec/digest.ts";
import { asObject, RegistryError } from "./registry-error.ts";
import type { ManifestBytes, Repository } from "./repository.ts";

type Json = { readonly [key: string]: unknown };

const MAX_CONFIG = 8 << 20;
const MAX_ENTRIES = 100;

/** A manifest, or a list of them, in Docker's order of fields. */
export function manifestView({ mediaType, bytes }: ManifestBytes): { readonly isList: boolean; readonly view: Json } {
  const document = parse(bytes);
  const isOci = mediaType.startsWith("application/vnd.oci.");
  const manifests = document["manifests"];
  if (Array.isArray(manifests)) {
    const list = manifests.map((entry) => pick(asObject(entry) ?? {}, DOCKER_DESCRIPTOR));
    return { isList: true, view: { schemaVersion: 2, mediaType, manifests: list } };
  }
  const order = isOci ? OCI_DESCRIPTOR : DOCKER_DESCRIPTOR;
  const layers = document["layers"];
  const view = {
    ...pick(document, ["schemaVersion", "mediaType", "artifactType"]),
    config: pick(asObject(document["config"]) ?? {}, order),
    layers: Array.isArray(layers) ? layers.map((layer) => pick(asObject(layer) ?? {}, order)) : [],
    ...pick(document, ["subject", "annotations"]),
  };
  return { isList: false, view };
}

/** `--verbose`: each manifest with its descriptor, its platform and its bytes; of a list all of its entries. */
export async function verboseView(repository: Repository, ref: string, found: ManifestBytes): Promise<unknown> {
  const { isList, view } = manifestView(found);
  if (!isList) return entryView(ref, found, await platformOf(repository, view));
  const entries = (parse(found.bytes)["manifests"] as readonly unknown[]).slice(0, MAX_ENTRIES);
  const views: Json[] = [];
  for (const entry of entries) {
    const descriptor = asObject(entry) ?? {};
    const digest = parseDigest(String(descriptor["digest"]), "digest in the index");
    const manifest = await repository.manifest(digest);
    views.push(entryView(`${ref}@${digest}`, manifest, asObject(descriptor["platform"])));
  }
  return views;
}

function entryView(ref: string, manifest: ManifestBytes, platform: Json | undefined): Json {
  const { mediaType, digest, bytes } = manifest;
  const isOci = mediaType.startsWith("application/vnd.oci.");
  return {
    Ref: ref,
    Descriptor: {
      mediaType,
      digest,
      size: bytes.length,
      ...(platform === undefined ? {} : { platform: pick(platform, PLATFORM) }),
    },
    Raw: Buffer.from(bytes).toString("base64"),
    [isOci ? "OCIManifest" : "SchemaV2Manifest"]: manifestView(manifest).view,
  };
}

/** An image's platform stands in its config. */
async function platformOf(repository: Repository, manifest: Json): Promise<Json | undefined> {
  const config = asObject(manifest["config"]) ?? {};
  const size = config["size"];
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0 || size > MAX_CONFIG) {
    throw new RegistryError("invalid", "the image's config is too large");
  }
  const digest = parseDigest(String(config["digest"]), "digest of the config");
  const { body } = await repository.blob({ mediaType: String(config["mediaType"]), digest, size }, 0);
  const hasher = new Bun.CryptoHasher("sha256");
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) {
    hasher.update(chunk);
    chunks.push(chunk);
  }
  if (`sha256:${hasher.digest("hex")}` !== digest) {
    throw new RegistryError("invalid", `the config's content is not that of ${digest}`);
  }
  return parse(Buffer.concat(chunks));
}

const OCI_DESCRIPTOR = ["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];
const DOCKER_DESCRIPTOR = ["mediaType", "size", "digest", "urls", "annotations", "platform"];
const PLATFORM = ["architecture", "os", "os.version", "os.features", "variant"];

/** These members, in this order, as far as they are there. */
function pick(object: Json, names: readonly string[]): Json {
  const picked: { [key: string]: unknown } = {};
  for (const name of names) {
    const value = object[name];
    if (value !== undefined && value !== null)
      picked[name] = name === "platform" ? pick(asObject(value) ?? {}, PLATFORM) : value;
  }
  return picked;
}

function parse(bytes: Uint8Array): Json {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new RegistryError("invalid", "the document is not JSON", { cause: error });
  }
  const document = asObject(parsed);
  if (document === undefined) throw new RegistryError("invalid", "the document is no JSON object");
  return document;
}
