/** A conversation with one host: the scheme it speaks, who we are to it, and what to do when it says 401. */

import { Authorization, type AuthorizationOptions } from "./authorization.ts";
import type { Authority } from "./credentials.ts";
import { RegistryError, shown } from "./registry-error.ts";
import { type RetryOptions, withRetries } from "./retry.ts";
import type { Endpoint } from "./settings.ts";
import { type Answer, describe, type Method, type Request, type Transport } from "./transport.ts";

export interface SessionRequest {
  readonly method: Method;
  /** Below the endpoint (`/v2/app/tags/list?n=100`), or a whole URL that the host itself named. */
  readonly target: string | URL;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: Request["body"];
  /** What the request needs to be allowed: `repository:library/alpine:pull`. */
  readonly scopes: readonly string[];
}

/** What goes wrong with the token server is told as the failure of the request it was for. */
async function withRequest<T>(asked: Promise<T>, method: Method, url: URL): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw error instanceof RegistryError ? error.during(describe(method, url)) : error;
  }
}

export class Session {
  readonly endpoint: Endpoint;
  readonly #transport: Transport;
  readonly #authorization: Authorization;
  readonly #retry: RetryOptions;
  #scheme: Promise<"http" | "https"> | undefined;
  #wasReached = false;

  constructor(
    transport: Transport,
    endpoint: Endpoint,
    authority: Authority,
    retry: Omit<RetryOptions, "wasReached">,
    options: AuthorizationOptions = {},
  ) {
    this.#transport = transport;
    this.endpoint = endpoint;
    this.#retry = { ...retry, wasReached: () => this.#wasReached };
    this.#authorization = new Authorization(transport, endpoint, authority, this.#retry, options);
  }

  /** Once, whatever the status. A stream as a body is used up by a 401: ask for something small first. */
  async send(request: SessionRequest): Promise<Answer> {
    const url = await this.url(request.target);
    const isOurs = url.host === this.endpoint.host;
    const isStream = typeof request.body === "object" && !(request.body instanceof Uint8Array);
    for (let attempt = 0; ; attempt++) {
      const say = <T>(asked: Promise<T>): Promise<T> => withRequest(asked, request.method, url);
      const authorization = isOurs ? await say(this.#authorization.header(request.scopes)) : undefined;
      const answer = await this.#transport.send(
        {
          method: request.method,
          url,
          headers: { ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
          ...(request.body === undefined ? {} : { body: request.body }),
        },
        this.endpoint.isInsecure && isOurs,
      );
      this.#wasReached = true;
      if (answer.status !== 401 || attempt === 2 || answer.url.host !== this.endpoint.host) return answer;
      const isWorthAnother = await say(this.#authorization.learn(answer, request.scopes, authorization));
      if (!isWorthAnother || isStream || (attempt === 1 && authorization !== undefined)) return answer;
      await answer.discard();
    }
  }

  /** With attempts; throws a RegistryError for any status that is not among the `expected` ones. */
  async ask(request: SessionRequest, expected: readonly number[]): Promise<Answer> {
    return await withRetries(this.#retry, async () => {
      const answer = await this.send(request);
      if (!expected.includes(answer.status)) throw await answer.failure();
      return answer;
    });
  }

  /** A whole URL as it is, a path below the endpoint. */
  async url(target: string | URL): Promise<URL> {
    if (target instanceof URL) return target;
    this.#scheme ??= this.#findScheme();
    const url = `${await this.#scheme}://${this.endpoint.host}${this.endpoint.prefix}${target}`;
    const parsed = URL.parse(url);
    // A reference's host is checked where it is parsed, but for the number of its port.
    if (parsed === null) throw new RegistryError("invalid", `${shown(url, 200)}: invalid port`);
    return parsed;
  }

  /** The identity token for the password we were given, where there is a token server that gives one. */
  async identityToken(): Promise<string | undefined> {
    return await this.#authorization.identityToken();
  }

  get retry(): RetryOptions {
    return this.#retry;
  }

  /** An insecure registry is asked by TLS first, without credentials; if it does not speak that, by plain HTTP. */
  async #findScheme(): Promise<"http" | "https"> {
    const { scheme, isInsecure, host, prefix } = this.endpoint;
    if (!isInsecure || scheme === "http") return scheme;
    try {
      const answer = await this.#transport.send(
        { method: "GET", url: new URL(`https://${host}${prefix}/v2/`), followsRedirects: false },
        true,
      );
      await answer.discard();
      return "https";
    } catch {
      // What is wrong with it the plain request will tell, if that fails too.
      this.#transport.signal?.throwIfAborted();
      return "http";
    }
  }
}
