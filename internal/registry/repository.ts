/**
 * One repository of a registry (distribution-spec): its manifests, blobs, tags and uploads. Everything that comes from
 * the registry is bounded in size and, where it has a digest, verified. Knows no image store.
 */
import { type Digest, digestOf, isDigest } from "../spec/digest.ts";
import { type Authority, openCredentialStore } from "./credentials.ts";
import { parseContentRange, parseLength, parseMediaType, parseNextLink } from "./headers.ts";
import { checkManifest, MANIFEST_TYPES } from "./manifest.ts";
import { RegistryError, shown } from "./registry-error.ts";
import { Session, type SessionRequest } from "./session.ts";
import { endpointsOf, type RegistrySettings } from "./settings.ts";
import { type Answer, describe, Transport } from "./transport.ts";
import { openedBy, type Standing, uploadBlob } from "./upload.ts";

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
  /** Who we are; without it the credentials of the caller's Docker configuration are used. */
  readonly authority?: Authority;
  /** `pull` may be answered by mirrors; `push` goes to the registry itself. */
  readonly actions: "pull" | "push";
  /** Ends every request and every wait; what was going on throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called before each wait for another attempt, with the failure and the wait, ready to be shown. */
  readonly onRetry?: ((why: string) => void) | undefined;
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
  /** The host that answers: a mirror's or the registry's own. */
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
  /**
   * Takes a blob over from another repository of the same registry; false if the registry would rather have it sent:
   * then `upload` goes on where this left off.
   */
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

const MAX_MANIFEST = 4 << 20;
const MAX_TAG_PAGE = 4 << 20;
const MAX_TAG_PAGES = 10_000;
const TAGS_PER_PAGE = 1000;
/** A mirror that fails is asked once more, then the next one. */
const MIRROR_RETRIES = 1;
const TAG = /^\w[\w.-]{0,127}$/;

/** Opens a repository; nothing is sent yet. Disposing it closes its idle connections. */
export async function openRepository(name: RepositoryName, options: RepositoryOptions): Promise<Repository> {
  const { settings, signal, onRetry } = options;
  const authority = options.authority ?? openCredentialStore(settings.environment);
  const endpoints = await endpointsOf(settings, name.domain, options.actions);
  const transport = new Transport(settings, signal);
  const sessions = endpoints.map((endpoint) => {
    const retries = endpoint.isMirror ? Math.min(settings.retries, MIRROR_RETRIES) : settings.retries;
    return new Session(transport, endpoint, authority, { settings, signal, onRetry, retries });
  });
  return new HttpRepository(name.path, options.actions, transport, sessions);
}

class HttpRepository implements Repository {
  readonly #path: string;
  readonly #scopes: readonly string[];
  readonly #transport: Transport;
  /** Mirrors first, the registry itself last. */
  readonly #sessions: readonly Session[];
  /** Those before it have failed. */
  #current = 0;
  /** Uploads that were opened where a mount was asked for. */
  readonly #opened = new Map<Digest, Standing>();

  constructor(path: string, actions: "pull" | "push", transport: Transport, sessions: readonly Session[]) {
    this.#path = path;
    this.#scopes = [`repository:${path}:${actions === "push" ? "pull,push" : "pull"}`];
    this.#transport = transport;
    this.#sessions = sessions;
  }

  get endpoint(): string {
    return this.#sessions[this.#current]?.endpoint.host ?? "";
  }

  async resolve(reference: string): Promise<Descriptor> {
    return await this.#each(async (session) => {
      const answer = await session.ask(this.#manifestRequest("HEAD", reference), [200]);
      await answer.discard();
      const digest = answer.headers.get("docker-content-digest") ?? (isDigest(reference) ? reference : "");
      const size = parseLength(answer.headers.get("content-length"));
      const mediaType = parseMediaType(answer.headers.get("content-type"));
      if (isDigest(digest) && size !== undefined && MANIFEST_TYPES.includes(mediaType)) {
        if (isDigest(reference) && digest !== reference) throw otherDigest(answer, reference, digest);
        return { mediaType, digest, size };
      }
      // Headers are a courtesy of most registries; the content is sure.
      const { bytes, ...found } = await this.#manifestFrom(session, reference, MAX_MANIFEST);
      return { mediaType: found.mediaType, digest: found.digest, size: bytes.length };
    });
  }

  async manifest(reference: string, limit = MAX_MANIFEST): Promise<ManifestBytes> {
    return await this.#each((session) => this.#manifestFrom(session, reference, limit));
  }

  async #manifestFrom(session: Session, reference: string, limit: number): Promise<ManifestBytes> {
    const answer = await session.ask(this.#manifestRequest("GET", reference), [200]);
    const bytes = await answer.bytes(limit, "the manifest");
    const digest = digestOf(bytes);
    const announced = answer.headers.get("docker-content-digest");
    const wanted = isDigest(reference) ? reference : announced !== null && isDigest(announced) ? announced : digest;
    if (wanted !== digest) throw otherDigest(answer, wanted, digest);
    const context = describe("GET", answer.url);
    return {
      mediaType: checkManifest(bytes, parseMediaType(answer.headers.get("content-type")), context),
      digest,
      bytes,
    };
  }

  #manifestRequest(method: "GET" | "HEAD", reference: string): SessionRequest {
    return {
      method,
      target: `/v2/${this.#path}/manifests/${reference}`,
      headers: { accept: MANIFEST_TYPES.join(", ") },
      scopes: this.#scopes,
    };
  }

  async blob(descriptor: Descriptor, offset: number): Promise<BlobBody> {
    return await this.#each(async (session) => {
      const answer = await session.ask(
        {
          method: "GET",
          target: `/v2/${this.#path}/blobs/${descriptor.digest}`,
          ...(offset > 0 ? { headers: { range: `bytes=${offset}-` } } : {}),
          scopes: this.#scopes,
        },
        [200, 206, 416],
      );
      if (answer.status === 416) {
        // What we have is more than the registry has of it, or all: from the start, and the digest will tell.
        await answer.discard();
        if (offset === 0) throw await answer.failure();
        return await this.#wholeBlob(session, descriptor);
      }
      return await blobBody(answer, descriptor, answer.status === 206 ? offset : 0);
    });
  }

  async #wholeBlob(session: Session, descriptor: Descriptor): Promise<BlobBody> {
    const target = `/v2/${this.#path}/blobs/${descriptor.digest}`;
    const answer = await session.ask({ method: "GET", target, scopes: this.#scopes }, [200]);
    return await blobBody(answer, descriptor, 0);
  }

  async hasBlob(digest: Digest): Promise<boolean> {
    return await this.#each(async (session) => {
      const target = `/v2/${this.#path}/blobs/${digest}`;
      const answer = await session.ask({ method: "HEAD", target, scopes: this.#scopes }, [200, 404]);
      await answer.discard();
      return answer.status === 200;
    });
  }

  async mount(digest: Digest, from: string): Promise<boolean> {
    const session = this.#own();
    const query = new URLSearchParams({ mount: digest, from });
    const scopes = [...this.#scopes, `repository:${from}:pull`];
    const answer = await session.ask(
      { method: "POST", target: `/v2/${this.#path}/blobs/uploads/?${query}`, scopes, body: "" },
      [201, 202, 400, 401, 403, 404, 405],
    );
    await answer.discard();
    // Instead of mounting, the registry has opened an upload: it is the one the blob is sent by.
    if (answer.status === 202 && answer.headers.has("location")) this.#opened.set(digest, openedBy(answer));
    return answer.status === 201;
  }

  async upload(
    descriptor: Descriptor,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    options: UploadOptions = {},
  ): Promise<void> {
    const opened = this.#opened.get(descriptor.digest);
    this.#opened.delete(descriptor.digest);
    await uploadBlob({
      session: this.#own(),
      path: this.#path,
      scopes: this.#scopes,
      descriptor,
      opened,
      open,
      chunkSize: options.chunkSize,
      onProgress: options.onProgress ?? (() => {}),
      isThere: () => this.hasBlob(descriptor.digest),
    });
  }

  async putManifest(reference: string, mediaType: string, bytes: Uint8Array): Promise<void> {
    const answer = await this.#own().ask(
      {
        method: "PUT",
        target: `/v2/${this.#path}/manifests/${reference}`,
        headers: { "content-type": mediaType },
        body: bytes,
        scopes: this.#scopes,
      },
      [200, 201, 202],
    );
    await answer.discard();
    const announced = answer.headers.get("docker-content-digest");
    const digest = digestOf(bytes);
    if (announced !== null && isDigest(announced) && announced !== digest) throw otherDigest(answer, digest, announced);
  }

  async *tags(): AsyncGenerator<string> {
    let target: string | URL = `/v2/${this.#path}/tags/list?n=${TAGS_PER_PAGE}`;
    const seen = new Set<string>();
    for (let page = 0; page < MAX_TAG_PAGES; page++) {
      const wanted: string | URL = target;
      const answer = await this.#each((session) =>
        session.ask({ method: "GET", target: wanted, scopes: this.#scopes }, [200]),
      );
      const context = describe("GET", answer.url);
      yield* parseTags(await answer.bytes(MAX_TAG_PAGE, "the list of tags"), context);
      const link = parseNextLink(answer.headers.get("link") ?? "");
      if (link === undefined) return;
      const next: URL | null = URL.parse(link, answer.url.href);
      if (next === null || next.origin !== answer.url.origin) {
        throw new RegistryError("invalid", `${context}: the next page is at another host: ${shown(link, 100)}`);
      }
      if (seen.has(next.href)) throw new RegistryError("invalid", `${context}: the pages go round in a circle`);
      seen.add(next.href);
      target = next;
    }
    throw new RegistryError("invalid", `${this.#path}: more than ${MAX_TAG_PAGES} pages of tags`);
  }

  /** The registry itself: what is written goes nowhere else. */
  #own(): Session {
    const session = this.#sessions.at(-1);
    if (session === undefined) throw new RegistryError("internal", `${this.#path}: no endpoint`);
    return session;
  }

  /** Asks the current endpoint; when it fails, the next, which then stays the current one. Throws the last one's error. */
  async #each<T>(ask: (session: Session) => Promise<T>): Promise<T> {
    for (let at = this.#current; ; at++) {
      const session = this.#sessions[at] ?? this.#own();
      try {
        const result = await ask(session);
        this.#current = Math.max(this.#current, at);
        return result;
      } catch (error) {
        this.#transport.signal?.throwIfAborted();
        // Other errors are about this machine (a certificate file, a helper): the next host would not mend them.
        if (!(error instanceof RegistryError) || at >= this.#sessions.length - 1) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#transport[Symbol.dispose]();
  }
}

function otherDigest(answer: Answer, wanted: string, found: string): RegistryError {
  return new RegistryError("invalid", `${describe("GET", answer.url)}: the content has digest ${found}, not ${wanted}`);
}

/** Checks where the body starts and how long it says it is, before a byte of it is read. */
async function blobBody(answer: Answer, descriptor: Descriptor, wantedOffset: number): Promise<BlobBody> {
  const wrong = async (why: string) => {
    await answer.discard();
    return new RegistryError("invalid", `${describe("GET", answer.url)}: ${why}`);
  };
  let offset = 0;
  if (answer.status === 206) {
    const range = parseContentRange(answer.headers.get("content-range") ?? "");
    if (range === undefined || range.first !== wantedOffset) {
      throw await wrong(`asked for the bytes from ${wantedOffset} on, others came`);
    }
    if (range.total !== undefined && range.total !== descriptor.size) {
      throw await wrong(`the blob has ${range.total} bytes, not ${descriptor.size}`);
    }
    offset = range.first;
  }
  const length = parseLength(answer.headers.get("content-length"));
  if (length !== undefined && offset + length !== descriptor.size) {
    throw await wrong(`the blob has ${offset + length} bytes, not ${descriptor.size}`);
  }
  return { offset, body: limited(answer, descriptor.size - offset) };
}

/** At most `size` bytes, and a failure if there are fewer. */
async function* limited(answer: Answer, size: number): AsyncGenerator<Uint8Array> {
  let left = size;
  for await (const chunk of answer.stream()) {
    yield chunk.length > left ? chunk.subarray(0, left) : chunk;
    left -= chunk.length;
    if (left <= 0) return;
  }
  if (left > 0) {
    throw new RegistryError("unavailable", `${describe("GET", answer.url)}: the body ended ${left} bytes early`, {
      isTransient: true,
    });
  }
}

export function parseTags(bytes: Uint8Array, context: string): readonly string[] {
  const wrong = () => new RegistryError("invalid", `${context}: the answer is no list of tags`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new RegistryError("invalid", `${context}: the answer is not JSON`, { cause: error });
  }
  const tags = typeof parsed === "object" && parsed !== null && "tags" in parsed ? parsed.tags : undefined;
  // A repository without tags has null here.
  if (tags === null) return [];
  if (!Array.isArray(tags)) throw wrong();
  return tags.map((tag) => {
    if (typeof tag !== "string" || !TAG.test(tag)) throw wrong();
    return tag;
  });
}
