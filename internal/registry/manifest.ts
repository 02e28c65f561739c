/** Manifests as documents on the wire: which media types there are, and that one is what it says it is. */
import { asObject, RegistryError } from "./registry-error.ts";

/** What we can do something with, best first; registries convert to none of them. */
export const MANIFEST_TYPES: readonly string[] = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const [OCI_INDEX = "", OCI_MANIFEST = "", DOCKER_LIST = ""] = MANIFEST_TYPES;

const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/;

/**
 * The media type of a manifest that came with a Content-Type. Throws `invalid` if the document contradicts it or itself:
 * one reader must not see an image where another sees an index (CVE-2021-41190).
 */
export function checkManifest(bytes: Uint8Array, contentType: string, context: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new RegistryError("invalid", `${context}: the manifest is not JSON`, { cause: error });
  }
  const document = asObject(parsed);
  if (document === undefined) throw new RegistryError("invalid", `${context}: the manifest is no JSON object`);
  if (SCHEMA_1.test(contentType) || document["schemaVersion"] === 1) {
    throw new RegistryError(
      "unsupported",
      `${context}: image manifest version 2, schema 1 is not supported: push the image anew`,
    );
  }
  const isIndex = "manifests" in document;
  if (isIndex && ("layers" in document || "config" in document || "fsLayers" in document)) {
    throw new RegistryError("invalid", `${context}: the manifest is an image and an index at once`);
  }
  const own = document["mediaType"];
  const said = [contentType, typeof own === "string" ? own : ""].filter((type) => MANIFEST_TYPES.includes(type));
  const [mediaType = isIndex ? OCI_INDEX : OCI_MANIFEST] = said;
  const isSaidIndex = mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
  if (said.some((type) => type !== mediaType) || isSaidIndex !== isIndex) {
    throw new RegistryError("invalid", `${context}: the manifest is not what its media type says`);
  }
  return mediaType;
}
