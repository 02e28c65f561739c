/**
 * Sending one blob (distribution-spec, Pushing Blobs): in one request, or in pieces; after a lost connection from where
 * the registry got to.
 */
import type { Digest } from "../spec/digest.ts";
import { parseLength, parseUploadRange } from "./headers.ts";
import { isTransientStatus, RegistryError, shown } from "./registry-error.ts";
import { pauseAfter } from "./retry.ts";
import type { Session } from "./session.ts";
import { type Answer, describe, type Method, type SizedStream } from "./transport.ts";

export interface Upload {
  readonly session: Session;
  readonly path: string;
  readonly scopes: readonly string[];
  readonly descriptor: { readonly digest: Digest; readonly size: number };
  readonly open: (offset: number) => AsyncIterable<Uint8Array>;
  readonly chunkSize: number | undefined;
  readonly onProgress: (bytes: number) => void;
  /** An upload that is open already. */
  readonly opened: Standing | undefined;
  /** True if the registry has the blob: asked when the answer to the last request was lost. */
  readonly isThere: () => Promise<boolean>;
}

/** Where an upload stands: the registry has `offset` bytes, the next request goes to `location`. */
export interface Standing {
  readonly location: URL;
  readonly offset: number;
  /** The registry wants pieces of at least this size. */
  readonly leastChunk: number;
}

export async function uploadBlob(upload: Upload): Promise<void> {
  let standing = upload.opened;
  let isInDoubt = false;
  let furthest = 0;
  for (let failures = 0; ; ) {
    try {
      if (isInDoubt && standing !== undefined) {
        standing = await progress(upload, standing);
        isInDoubt = false;
        // An upload the registry no longer knows may be one it finished, and only the answer was lost.
        if (standing === undefined && (await upload.isThere())) return;
        upload.onProgress(standing?.offset ?? 0);
        if ((standing?.offset ?? 0) > furthest) {
          furthest = standing?.offset ?? 0;
          failures = 0;
        }
      }
      standing ??= await start(upload);
      await carryOn(upload, standing, (reached) => {
        standing = reached;
      });
      return;
    } catch (error) {
      // A range the registry will not have, an upload it has forgotten: that is answered by starting again.
      const isStale =
        standing !== undefined && error instanceof RegistryError && (error.status === 416 || error.status === 404);
      const failure = isStale
        ? new RegistryError("unavailable", error.message, { isTransient: true, cause: error })
        : error;
      await pauseAfter(failure, failures++, upload.session.retry);
      if (isStale) standing = undefined;
      isInDoubt = true;
    }
  }
}

async function start({ session, path, scopes }: Upload): Promise<Standing> {
  const answer = await session.send({ method: "POST", target: `/v2/${path}/blobs/uploads/`, scopes, body: "" });
  if (answer.status !== 202) throw await answer.failure();
  await answer.discard();
  return openedBy(answer);
}

/** The upload that a 202 has opened. */
export function openedBy(answer: Answer): Standing {
  const least = parseLength(answer.headers.get("oci-chunk-min-length")) ?? 0;
  return { location: locationOf(answer), offset: 0, leastChunk: least };
}

/** Sends what is missing, and the end. */
async function carryOn(upload: Upload, from: Standing, onReached: (standing: Standing) => void): Promise<void> {
  const { size, digest } = upload.descriptor;
  const chunkSize = upload.chunkSize === undefined ? undefined : Math.max(upload.chunkSize, from.leastChunk, 1);
  if (from.offset === 0 && (chunkSize === undefined || size <= chunkSize)) {
    await using source = new Source(upload.open(0), 0, size);
    const url = withDigest(from.location, digest);
    const answer = await send(upload, "PUT", url, source.take(size, upload.onProgress), {}, [201]);
    await answer.discard();
    return;
  }
  let standing = from;
  await using source = new Source(upload.open(from.offset), from.offset, size);
  while (standing.offset < size) {
    const length = Math.min(chunkSize ?? size, size - standing.offset);
    const headers = { "content-range": `${standing.offset}-${standing.offset + length - 1}` };
    const piece = source.take(length, upload.onProgress);
    const answer = await send(upload, "PATCH", standing.location, piece, headers, [202]);
    await answer.discard();
    const sent = standing.offset + length;
    const taken = parseUploadRange(answer.headers.get("range") ?? "") ?? sent;
    standing = { ...standing, location: locationOf(answer), offset: taken };
    onReached(standing);
    if (taken > sent)
      throw new RegistryError("invalid", `${describe("PATCH", answer.url)}: more bytes were taken than sent`);
    // It took less than it was sent: from there, with the source opened anew.
    if (taken < sent)
      throw new RegistryError(
        "unavailable",
        `${describe("PATCH", answer.url)}: only ${taken} of ${sent} bytes were taken`,
        { isTransient: true },
      );
  }
  const { session, scopes } = upload;
  const answer = await session.send({ method: "PUT", target: withDigest(standing.location, digest), scopes, body: "" });
  if (answer.status !== 201) throw await answer.failure();
  await answer.discard();
}

async function send(
  { session, scopes }: Upload,
  method: Method,
  target: URL,
  body: SizedStream,
  headers: { readonly [name: string]: string },
  expected: readonly number[],
): Promise<Answer> {
  const answer = await session.send({
    method,
    target,
    scopes,
    headers: { "content-type": "application/octet-stream", ...headers },
    body,
  });
  if (expected.includes(answer.status)) return answer;
  const failure = await answer.failure();
  if (answer.status !== 401) throw failure;
  // The token ran out while the body was on its way: the next attempt has a new one.
  throw new RegistryError("denied", failure.message, { status: 401, isTransient: true, cause: failure });
}

/** How far the registry got; undefined if it no longer knows the upload. */
async function progress({ session, scopes, descriptor }: Upload, standing: Standing): Promise<Standing | undefined> {
  const answer = await session.send({ method: "GET", target: standing.location, scopes });
  if (isTransientStatus(answer.status)) throw await answer.failure();
  await answer.discard();
  if (answer.status >= 300) return undefined;
  const offset = parseUploadRange(answer.headers.get("range") ?? "");
  if (offset === undefined || offset > descriptor.size) return undefined;
  const hasLocation = answer.headers.get("location") !== null;
  return { ...standing, offset, location: hasLocation ? locationOf(answer) : standing.location };
}

/**
 * The Location of an answer. A registry behind a proxy that ends TLS often calls itself http: at the same host that is
 * taken for https, so that no credentials go in the clear; at another it is refused.
 */
function locationOf(answer: Answer): URL {
  const header = answer.headers.get("location") ?? "";
  const url = header === "" ? null : URL.parse(header, answer.url.href);
  const context = () => `the upload's location ${JSON.stringify(shown(header, 100))}`;
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new RegistryError("invalid", `${describe("POST", answer.url)}: ${context()} is no web address`);
  }
  if (url.protocol === "http:" && answer.url.protocol === "https:") {
    if (url.hostname !== answer.url.hostname) {
      throw new RegistryError(
        "denied",
        `${describe("POST", answer.url)}: ${context()} leads from https to http: refused`,
      );
    }
    url.protocol = "https:";
    url.port = answer.url.port;
  }
  return url;
}

function withDigest(location: URL, digest: Digest): URL {
  const url = new URL(location.href);
  url.searchParams.set("digest", digest);
  return url;
}

/** The blob's bytes, handed out piece by piece from one reading. */
class Source implements AsyncDisposable {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #size: number;
  #rest: Uint8Array = new Uint8Array(0);
  #offset: number;

  constructor(bytes: AsyncIterable<Uint8Array>, offset: number, size: number) {
    this.#iterator = bytes[Symbol.asyncIterator]();
    this.#offset = offset;
    this.#size = size;
  }

  take(length: number, onProgress: (bytes: number) => void): SizedStream {
    return { size: length, stream: this.#piece(length, onProgress) };
  }

  async *#piece(length: number, onProgress: (bytes: number) => void): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0; ) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#iterator.next();
        if (done === true) {
          throw new RegistryError("invalid", `the blob ended after ${this.#offset} of ${this.#size} bytes`);
        }
        this.#rest = value;
        continue;
      }
      const chunk = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(chunk.length);
      this.#offset += chunk.length;
      left -= chunk.length;
      yield chunk;
      onProgress(this.#offset);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#iterator.return?.();
  }
}
