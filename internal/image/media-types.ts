/** Media types of the image-spec (media-types.md), and Docker's of the same documents. */

export const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
export const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
export const LAYER_TYPES = {
  none: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
} as const;

/** The compression that a layer's media type names; Docker's types and foreign ones too. */
export function compressionOf(mediaType: string): keyof typeof LAYER_TYPES {
  if (/[+.]zstd$/.test(mediaType)) return "zstd";
  return /[+.]gzip$/.test(mediaType) ? "gzip" : "none";
}

export const DOCKER_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json";
export const DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json";

/** image-spec annotations.md#pre-defined-annotation-keys, and containerd's for the whole name. */
export const REF_NAME = "org.opencontainers.image.ref.name";
export const IMAGE_NAME = "io.containerd.image.name";
