/** Saying who we are to one registry: Basic, or Bearer with tokens of its token server (distribution, Token Authentication). */
import { CtrError } from "../errors/error.ts";
import type { Authority, Credentials } from "./credentials.ts";
import { type Challenge, parseChallenges } from "./headers.ts";
import { hostnameOf } from "./host-match.ts";
import { asObject, RegistryError, shown } from "./registry-error.ts";
import { type RetryOptions, withRetries } from "./retry.ts";
import { type Endpoint, isInsecure } from "./settings.ts";
import { type Answer, describe, type Transport } from "./transport.ts";

/** A token and when it is to be replaced, by performance.now(). */
interface Token {
  readonly text: string;
  readonly untilMs: number;
  /** What the token server gave to come back with, when it was asked for (`login`). */
  readonly identityToken: string | undefined;
}

interface Bearer {
  readonly scheme: "bearer";
  readonly realm: URL;
  readonly service: string | undefined;
  /** What the registry named when it refused us. */
  readonly scope: string | undefined;
}

const MAX_TOKEN_ANSWER = 1 << 20;
const MAX_TOKEN = 64 << 10;
const MAX_SCOPES = 64;
/** A token without a lifetime has one of a minute (distribution, Token Response Fields). */
const DEFAULT_LIFETIME_S = 60;
const LONGEST_LIFETIME_S = 86_400;
const CLIENT_ID = "ctr";

export interface AuthorizationOptions {
  /** Ask the token server for an identity token with every token (`login`). */
  readonly wantsIdentity?: boolean;
}

export class Authorization {
  readonly #transport: Transport;
  readonly #endpoint: Endpoint;
  readonly #authority: Authority;
  readonly #retry: RetryOptions;
  readonly #wantsIdentity: boolean;
  #challenge: Bearer | { readonly scheme: "basic" } | undefined;
  #credentials: Promise<Credentials | undefined> | undefined;
  readonly #tokens = new Map<string, Promise<Token>>();

  constructor(
    transport: Transport,
    endpoint: Endpoint,
    authority: Authority,
    retry: RetryOptions,
    { wantsIdentity = false }: AuthorizationOptions,
  ) {
    this.#transport = transport;
    this.#endpoint = endpoint;
    this.#authority = authority;
    this.#retry = retry;
    this.#wantsIdentity = wantsIdentity;
  }

  /** The Authorization header for these scopes; undefined as long as the registry has not asked for one. */
  async header(scopes: readonly string[]): Promise<string | undefined> {
    if (this.#challenge === undefined) return undefined;
    if (this.#challenge.scheme === "bearer") return `Bearer ${(await this.#token(this.#challenge, scopes)).text}`;
    const { username, password } = (await this.#known()) ?? { username: "", password: "" };
    return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  }

  /**
   * Takes in a 401. True if asking again makes sense; false if what was sent was as good as it gets. `sent` is the
   * header that was refused. Throws when there is nothing to say.
   */
  async learn(answer: Answer, scopes: readonly string[], sent: string | undefined): Promise<boolean> {
    const challenges = parseChallenges(answer.headers.get("www-authenticate") ?? "");
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      this.#challenge = this.#parseBearer(bearer);
      await this.#forget(this.#keyOf(this.#challenge, scopes), sent);
      return true;
    }
    if (!challenges.some(({ scheme }) => scheme === "basic")) return false;
    if ((await this.#known()) === undefined)
      throw new RegistryError("denied", "no basic auth credentials", { status: 401 });
    this.#challenge = { scheme: "basic" };
    return sent === undefined || !sent.startsWith("Basic ");
  }

  /** The identity token that came with the tokens so far, if one did. */
  async identityToken(): Promise<string | undefined> {
    const tokens = await Promise.all(this.#tokens.values());
    return tokens.find(({ identityToken }) => identityToken !== undefined)?.identityToken;
  }

  /** A token that was refused may have been withdrawn before its time; one that came meanwhile is kept. */
  async #forget(key: string, refused: string | undefined): Promise<void> {
    const kept = this.#tokens.get(key);
    if (kept === undefined || refused === undefined) return;
    const { text } = await kept;
    if (refused === `Bearer ${text}` && this.#tokens.get(key) === kept) this.#tokens.delete(key);
  }

  #known(): Promise<Credentials | undefined> {
    this.#credentials ??= this.#authority.get(this.#endpoint.host);
    return this.#credentials;
  }

  #parseBearer({ parameters }: Challenge): Bearer {
    const realm = URL.parse(parameters["realm"] ?? "");
    if (realm === null || (realm.protocol !== "https:" && realm.protocol !== "http:")) {
      const named = JSON.stringify(shown(parameters["realm"] ?? "", 100));
      throw new RegistryError("invalid", `${this.#endpoint.host}: the token server ${named} is no web address`);
    }
    return { scheme: "bearer", realm, service: parameters["service"], scope: parameters["scope"] };
  }

  /** A mirror may know the repository by another name: then the one it asks for is right. */
  #scopesFor(bearer: Bearer, scopes: readonly string[]): readonly string[] {
    const named = bearer.scope?.split(" ").filter((scope) => scope !== "") ?? [];
    const wanted = (this.#endpoint.isMirror || scopes.length === 0) && named.length > 0 ? named : scopes;
    return [...new Set(wanted)].slice(0, MAX_SCOPES);
  }

  #keyOf(bearer: Bearer, scopes: readonly string[]): string {
    return [bearer.realm.href, bearer.service ?? "", ...this.#scopesFor(bearer, scopes)].join(" ");
  }

  /** The token for these scopes: one request, however many ask for it at once. */
  async #token(bearer: Bearer, scopes: readonly string[]): Promise<Token> {
    const key = this.#keyOf(bearer, scopes);
    const known = this.#tokens.get(key);
    if (known !== undefined) {
      const token = await known;
      if (token.untilMs > performance.now()) return token;
      if (this.#tokens.get(key) === known) this.#tokens.delete(key);
    }
    const pending = this.#tokens.get(key) ?? this.#fetchToken(bearer, this.#scopesFor(bearer, scopes));
    this.#tokens.set(key, pending);
    try {
      return await pending;
    } catch (error) {
      if (this.#tokens.get(key) === pending) this.#tokens.delete(key);
      throw error;
    }
  }

  async #fetchToken(bearer: Bearer, scopes: readonly string[]): Promise<Token> {
    const { realm } = bearer;
    // An insecure registry's word does not make another host insecure.
    const isSameHost = hostnameOf(realm.host) === hostnameOf(this.#endpoint.host);
    const mayBeInsecure =
      (isSameHost && this.#endpoint.isInsecure) || (await isInsecure(this.#transport.settings, realm.host));
    const credentials = await this.#known();
    if (realm.protocol === "http:" && !mayBeInsecure && credentials !== undefined) {
      throw new RegistryError(
        "denied",
        `${this.#endpoint.host}: credentials are not sent to ${shown(realm.origin)}: it is not https`,
      );
    }
    return await withRetries(this.#retry, async () => {
      const answer = await this.#ask(bearer, scopes, credentials, mayBeInsecure);
      if (answer.status !== 200) throw await answer.failure();
      const bytes = await answer.bytes(MAX_TOKEN_ANSWER, "the token server's answer");
      return parseToken(bytes, describe("GET", realm));
    });
  }

  /** An identity token goes in a form (RFC 6749, 6); a password in Basic, or in a form where a server wants that only. */
  async #ask(
    bearer: Bearer,
    scopes: readonly string[],
    credentials: Credentials | undefined,
    mayBeInsecure: boolean,
  ): Promise<Answer> {
    if (credentials?.identityToken !== undefined) {
      return await this.#post(bearer, scopes, mayBeInsecure, {
        grant_type: "refresh_token",
        refresh_token: credentials.identityToken,
      });
    }
    const url = new URL(bearer.realm.href);
    if (bearer.service !== undefined) url.searchParams.set("service", bearer.service);
    for (const scope of scopes) url.searchParams.append("scope", scope);
    if (credentials !== undefined) url.searchParams.set("account", credentials.username);
    if (this.#wantsIdentity) {
      url.searchParams.set("offline_token", "true");
      url.searchParams.set("client_id", CLIENT_ID);
    }
    const headers: { [name: string]: string } = {};
    if (credentials !== undefined) {
      headers["authorization"] =
        `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
    }
    const answer = await this.#transport.send({ method: "GET", url, headers }, mayBeInsecure);
    if ((answer.status !== 404 && answer.status !== 405) || credentials === undefined) return answer;
    await answer.discard();
    return await this.#post(bearer, scopes, mayBeInsecure, {
      grant_type: "password",
      username: credentials.username,
      password: credentials.password,
      ...(this.#wantsIdentity ? { access_type: "offline" } : {}),
    });
  }

  async #post(
    bearer: Bearer,
    scopes: readonly string[],
    mayBeInsecure: boolean,
    fields: { readonly [name: string]: string },
  ): Promise<Answer> {
    const form = new URLSearchParams({ ...fields, client_id: CLIENT_ID });
    if (bearer.service !== undefined) form.set("service", bearer.service);
    if (scopes.length > 0) form.set("scope", scopes.join(" "));
    return await this.#transport.send(
      {
        method: "POST",
        url: bearer.realm,
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: form.toString(),
      },
      mayBeInsecure,
    );
  }
}

/** A token server's answer (distribution, Token Response Fields; RFC 6749, 5.1). Throws `invalid`; never shows the token. */
export function parseToken(bytes: Uint8Array, context: string): Token {
  const wrong = (why: string) => new CtrError("invalid", `${context}: the token server's answer ${why}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // Without the cause: the parser's message may repeat the token.
    throw wrong("is not JSON");
  }
  const answer = asObject(parsed);
  if (answer === undefined) throw wrong("is no JSON object");
  const text = answer["token"] || answer["access_token"];
  if (typeof text !== "string" || text === "") throw wrong("has no token");
  if (text.length > MAX_TOKEN || !/^[\x21-\x7e]+$/.test(text)) throw wrong("has a token that cannot go into a header");
  const lifetime = answer["expires_in"];
  const lifetimeS =
    typeof lifetime === "number" && lifetime > 0 ? Math.min(lifetime, LONGEST_LIFETIME_S) : DEFAULT_LIFETIME_S;
  const identity = answer["refresh_token"];
  return {
    text,
    // A tenth early: it must still hold when it arrives, and for the time of an upload's first bytes.
    untilMs: performance.now() + lifetimeS * 900,
    identityToken:
      typeof identity === "string" && identity !== "" && identity.length <= MAX_TOKEN ? identity : undefined,
  };
}
