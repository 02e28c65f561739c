/**
 * One repository of a registry (distribution-spec): its manifests, blobs, tags and uploads. Everything that comes from
 * the registry is bounded in size and, where it has a digest, verified. Knows no image store.
 */
import type { Digest } from "../spec/digest.ts";
import type { Authority } from "./credentials.ts";
import type { RegistrySettings } from "./settings.ts";

/** What a registry tells about a blob or a manifest (image-spec descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

/** A manifest or an index as it came; `digest` is that of `bytes`. */
export interface ManifestBytes {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

/** The bytes of a blob from `offset` on: 0 if the registry ignored the range asked for. Read it to its end or `return()` it. */
export interface BlobBody {
  readonly offset: number;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface RepositoryOptions {
  readonly settings: RegistrySettings;
  /** Who we are; without it the credentials of the settings' Docker configuration are used. */
  readonly authority?: Authority;
  /** `pull` may be answered by mirrors; `push` goes to the registry itself. */
  readonly actions: "pull" | "push";
  /** Ends every request and every wait; what was going on throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called before each wait for another attempt: `registry.example.com answered 503, retrying in 2 seconds`. */
  readonly onRetry?: (why: string) => void;
}

/** A repository's name: `{ domain: "docker.io", path: "library/alpine" }`. */
export interface RepositoryName {
  readonly domain: string;
  readonly path: string;
}

/** How `upload` sends a blob. */
export interface UploadOptions {
  /** Pieces of at most this size, each a request of its own; without it the blob goes in one request. */
  readonly chunkSize?: number;
  /** Called with how many of the blob's bytes the registry has been sent; goes back when an upload starts again. */
  readonly onProgress?: (bytes: number) => void;
}

/**
 * Failures are `RegistryError`s: kind `not-found` (no such manifest, blob or repository), `denied` (401 and 403),
 * `unavailable` (not reached, cut off, 5xx and 429 after all attempts), `invalid` (what came is not what it should be),
 * `unsupported`. Requests are repeated with back-off after 429, 5xx and lost connections; bodies are not.
 */
export interface Repository extends AsyncDisposable {
  /** The host that answered last: a mirror's or the registry's own. */
  readonly endpoint: string;
  /** The descriptor of a tag or a digest, without its content. */
  resolve(reference: string): Promise<Descriptor>;
  /** A manifest by tag or digest, at most `limit` bytes (default 4 MiB); verified when asked for by digest. */
  manifest(reference: string, limit?: number): Promise<ManifestBytes>;
  /**
   * A blob's bytes from `offset` on. Reading ends after `descriptor.size` bytes whatever the registry sends; a body that
   * is cut off or stalls throws `unavailable`: ask again with the offset reached. The digest is for the reader to verify.
   */
  blob(descriptor: Descriptor, offset: number): Promise<BlobBody>;
  hasBlob(digest: Digest): Promise<boolean>;
  /** Takes a blob over from another repository of the same registry; false if the registry would rather have it sent. */
  mount(digest: Digest, from: string): Promise<boolean>;
  /**
   * Sends a blob; `open` gives its bytes from an offset on and is called again, from where the registry got to, after a
   * connection is lost.
   */
  upload(
    descriptor: Descriptor,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    options?: UploadOptions,
  ): Promise<void>;
  /** Puts a manifest under a tag or its digest. */
  putManifest(reference: string, mediaType: string, bytes: Uint8Array): Promise<void>;
  /** All tags, page by page. */
  tags(): AsyncIterable<string>;
}
