/**
 * HTTP as registries speak it, one request at a time, with Bun's fetch: it streams both ways with back-pressure (a 2 GB
 * blob passes in some 40 MB), bounds what a header may be, and keeps connections by TLS configuration. Redirects,
 * decompression and the proxies of the environment are switched off: they are decided here.
 */
import { CtrError } from "../errors/error.ts";
import { type Certificates, readCertificates } from "./certificates.ts";
import { fetchFailure, UNREACHED } from "./fetch-errors.ts";
import { parseLength, parseRetryAfter } from "./headers.ts";
import { hostnameOf, isExcepted, isLoopback } from "./host-match.ts";
import { errorOfAnswer, isTransientStatus, RegistryError, shown } from "./registry-error.ts";
import { isInsecure, type RegistrySettings } from "./settings.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface Request {
  readonly method: Method;
  readonly url: URL;
  readonly headers?: { readonly [name: string]: string };
  /** False if the answer is wanted as it is, a redirect too. */
  readonly followsRedirects?: boolean;
  /** Bytes, or a stream with its size; a stream can be sent once. */
  readonly body?: Uint8Array | string | SizedStream;
}

export interface SizedStream {
  readonly size: number;
  readonly stream: AsyncIterable<Uint8Array>;
}

/** An answer whose body has not been read: read it, or `discard` it. */
export interface Answer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  /** What was asked in the end, after redirects. */
  readonly url: URL;
  /** The body, at most `limit` bytes; `what` names it in the error when it is longer. */
  bytes(limit: number, what: string): Promise<Uint8Array>;
  /** The body as it comes; throws RegistryError `unavailable` when it is cut off or stalls. */
  stream(): AsyncGenerator<Uint8Array>;
  /** Ends it; a short body is read to its end so that the connection can be used again. */
  discard(): Promise<void>;
  /** The error this answer is, with what its body says. */
  failure(): Promise<RegistryError>;
}

const MAX_ERROR_BODY = 64 << 10;
const MAX_REDIRECTS = 10;
/** Until the answer to a body that was sent whole: registries hash and move it first. */
const COMMIT_TIMEOUT_MS = 600_000;
const USER_AGENT = "ctr";

/** Connections to any number of hosts; disposing it closes the idle ones. */
export class Transport implements Disposable {
  readonly settings: RegistrySettings;
  readonly signal: AbortSignal | undefined;
  readonly #session = new Bun.FetchSession();
  readonly #certificates = new Map<string, Certificates>();

  constructor(settings: RegistrySettings, signal: AbortSignal | undefined) {
    this.settings = settings;
    this.signal = signal;
  }

  /**
   * Sends one request once. Redirects of GET and HEAD are followed: Authorization stays behind when the next host is
   * another, and nothing goes from https to http unless that host is insecure by the settings.
   */
  async send(request: Request, isInsecureHost: boolean): Promise<Answer> {
    let { url, headers = {} } = request;
    let mayBeInsecure = isInsecureHost;
    for (let redirects = 0; ; redirects++) {
      const answer = await this.#exchange({ ...request, url, headers }, mayBeInsecure);
      const location = answer.headers.get("location");
      const isRedirect = [301, 302, 303, 307, 308].includes(answer.status) && location !== null;
      if (!isRedirect || request.followsRedirects === false) return answer;
      if (request.method !== "GET" && request.method !== "HEAD") return answer;
      await answer.discard();
      const next = URL.parse(location, url.href);
      const context = describe(request.method, url);
      if (next === null || (next.protocol !== "https:" && next.protocol !== "http:")) {
        throw new RegistryError(
          "invalid",
          `${context}: redirected to ${shown(location, 100)}, which is no web address`,
        );
      }
      if (redirects === MAX_REDIRECTS) throw new RegistryError("invalid", `${context}: redirected too often`);
      if (next.origin !== url.origin) {
        const { authorization: _, ...rest } = headers;
        headers = rest;
        mayBeInsecure = await isInsecure(this.settings, next.host);
        if (next.protocol === "http:" && url.protocol === "https:" && !mayBeInsecure) {
          throw new RegistryError("denied", `${context}: redirected from https to ${shown(next.origin, 100)}: refused`);
        }
      }
      url = next;
    }
  }

  async #exchange(request: Request, isInsecureHost: boolean): Promise<Answer> {
    const { method, url } = request;
    this.signal?.throwIfAborted();
    const proxy = this.#proxyFor(url);
    const by = proxy === undefined ? "" : ` by proxy ${shown(new URL(proxy).host, 100)}`;
    const watch = new Watch(this.settings.stallTimeoutMs, this.signal, `${describe(method, url)}${by}`);
    const { body } = request;
    const isStream = body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
    let sourceFailure: { readonly error: unknown } | undefined;
    const sent = async function* (source: SizedStream) {
      try {
        for await (const chunk of source.stream) {
          watch.restart();
          yield chunk;
        }
      } catch (error) {
        sourceFailure = { error };
        throw error;
      }
      watch.restart(COMMIT_TIMEOUT_MS);
    };
    try {
      if (method === "PUT") watch.restart(COMMIT_TIMEOUT_MS);
      const response = await this.#session.fetch(url.href, {
        method,
        headers: {
          "user-agent": USER_AGENT,
          accept: "*/*",
          // A blob is what its digest says, not what a proxy makes of it.
          "accept-encoding": "identity",
          ...request.headers,
          ...(isStream ? { "content-length": String(body.size) } : {}),
        },
        ...(body === undefined ? {} : { body: isStream ? sent(body) : body }),
        redirect: "manual",
        decompress: false,
        // The watch knows what a stall is; fetch's own limit does not.
        ...NO_TIMEOUT,
        signal: watch.signal,
        proxy: proxy === undefined ? false : { url: proxy, respectNoProxy: false },
        ...(url.protocol === "https:" ? { tls: this.#tlsFor(url.host, isInsecureHost) } : {}),
      });
      watch.answered();
      return new FetchedAnswer(response, request, watch);
    } catch (error) {
      watch.end();
      this.signal?.throwIfAborted();
      if (sourceFailure !== undefined) throw sourceFailure.error;
      throw watch.explain(error);
    }
  }

  #tlsFor(host: string, isInsecureHost: boolean) {
    const { certificateDirectories, environment } = this.settings;
    const known = this.#certificates.get(host) ?? readCertificates(host, certificateDirectories, environment);
    this.#certificates.set(host, known);
    return {
      // Said in so many words: NODE_TLS_REJECT_UNAUTHORIZED must not decide it.
      rejectUnauthorized: !isInsecureHost,
      ...(known.authorities === undefined ? {} : { ca: [...known.authorities] }),
      ...known.client,
    };
  }

  #proxyFor(url: URL): string | undefined {
    const { http, https, except } = this.settings.proxies;
    const proxy = url.protocol === "https:" ? https : http;
    const hostname = hostnameOf(url.host);
    const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
    // Go's rule, and so Docker's: this machine is never behind a proxy.
    if (proxy === undefined || isLoopback(hostname) || isExcepted(hostname, port, except)) return undefined;
    return proxy;
  }

  [Symbol.dispose](): void {
    this.#session.close();
  }
}

/** Bun's own option, not in its types. */
const NO_TIMEOUT: object = { timeout: false };

/** Gives an exchange up when nothing moves, or when the caller's signal says so. */
class Watch {
  readonly #controller = new AbortController();
  readonly #stallMs: number;
  readonly #outer: AbortSignal | undefined;
  readonly #context: string;
  readonly #onAbort = () => this.#controller.abort(this.#outer?.reason);
  #timer: Timer | undefined;
  #isAnswered = false;

  constructor(stallMs: number, outer: AbortSignal | undefined, context: string) {
    this.#stallMs = stallMs;
    this.#outer = outer;
    this.#context = context;
    outer?.addEventListener("abort", this.#onAbort, { once: true });
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(limitMs = this.#stallMs): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const seconds = Math.round(limitMs / 1000);
      const why = `${this.#context}: nothing came for ${seconds} second${seconds === 1 ? "" : "s"}`;
      // Before there was an answer nobody knows whether anybody is there.
      const code = this.#isAnswered ? {} : { code: UNREACHED };
      this.#controller.abort(new RegistryError("unavailable", why, { isTransient: true, ...code }));
    }, limitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** The head of the answer is there. */
  answered(): void {
    this.#isAnswered = true;
    this.stop();
  }

  /** Ends the connection too, unless the body was read to its end. */
  end(isComplete = false): void {
    this.stop();
    this.#outer?.removeEventListener("abort", this.#onAbort);
    if (!isComplete) this.#controller.abort();
  }

  /** What an error of fetch means; our own reasons come through as they are. */
  explain(error: unknown): unknown {
    return error instanceof CtrError ? error : fetchFailure(this.#context, error);
  }
}

class FetchedAnswer implements Answer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  readonly url: URL;
  readonly #response: Response;
  readonly #method: Method;
  readonly #watch: Watch;

  constructor(response: Response, request: Request, watch: Watch) {
    this.status = response.status;
    this.statusText = response.statusText;
    this.headers = response.headers;
    this.url = request.url;
    this.#response = response;
    this.#method = request.method;
    this.#watch = watch;
  }

  async *stream(): AsyncGenerator<Uint8Array> {
    const reader = this.#response.body?.getReader();
    let isComplete = reader === undefined;
    try {
      while (reader !== undefined) {
        this.#watch.restart();
        const { done, value } = await reader.read();
        // While the reader is busy the server may be as slow as it likes.
        this.#watch.stop();
        if (done) {
          isComplete = true;
          return;
        }
        yield value;
      }
    } catch (error) {
      // The reader's own errors are thrown by it, not through here.
      const { signal } = this.#watch;
      throw signal.aborted && signal.reason !== undefined ? signal.reason : this.#watch.explain(error);
    } finally {
      this.#watch.end(isComplete);
    }
  }

  async bytes(limit: number, what: string): Promise<Uint8Array> {
    const tooLong = () =>
      new RegistryError("invalid", `${describe(this.#method, this.url)}: ${what} is longer than ${limit} bytes`);
    const announced = parseLength(this.headers.get("content-length"));
    if (announced !== undefined && announced > limit && this.#method !== "HEAD") {
      this.#watch.end();
      throw tooLong();
    }
    const { bytes, isWhole } = await this.#read(limit);
    if (!isWhole) throw tooLong();
    return bytes;
  }

  async discard(): Promise<void> {
    const announced = parseLength(this.headers.get("content-length"));
    if (announced !== undefined && announced > MAX_ERROR_BODY && this.#method !== "HEAD") return this.#watch.end();
    try {
      await this.#read(MAX_ERROR_BODY);
    } catch {
      // Nobody wants this body: how it ends is nobody's business either.
    }
  }

  async failure(): Promise<RegistryError> {
    let body = "";
    try {
      body = new TextDecoder().decode((await this.#read(MAX_ERROR_BODY)).bytes);
    } catch {
      // The status says enough.
    }
    const wait = parseRetryAfter(this.headers.get("retry-after") ?? "", Date.now());
    return errorOfAnswer(this.status, this.statusText, body, isTransientStatus(this.status) ? wait : undefined);
  }

  /** The body up to `limit` bytes. */
  async #read(limit: number): Promise<{ readonly bytes: Uint8Array; readonly isWhole: boolean }> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.stream()) {
      chunks.push(chunk.subarray(0, limit - length));
      length += chunk.length;
      if (length > limit) return { bytes: Buffer.concat(chunks), isWhole: false };
    }
    return { bytes: Buffer.concat(chunks), isWhole: true };
  }
}

/** `Get "https://registry.example.com/v2/"`, as Go's clients say it; queries may hold secrets and are left out. */
export function describe(method: Method, url: URL): string {
  const verb = method.slice(0, 1) + method.slice(1).toLowerCase();
  return `${verb} "${shown(`${url.origin}${url.pathname}`, 200)}"`;
}
