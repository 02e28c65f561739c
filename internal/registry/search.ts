/** `GET /v1/search`: what Docker Hub, and registries that imitate it, find for a word. */
import { CtrError } from "../errors/error.ts";
import { openCredentialStore } from "./credentials.ts";
import { asObject, RegistryError } from "./registry-error.ts";
import { Session } from "./session.ts";
import { canonicalDomain, isInsecure, type RegistrySettings } from "./settings.ts";
import { describe, Transport } from "./transport.ts";

export interface FoundImage {
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly isOfficial: boolean;
  readonly isAutomated: boolean;
}

/** Docker's: when none is asked for. */
export const DEFAULT_LIMIT = 25;
const MAX_ANSWER = 4 << 20;
const MAX_RESULTS = 1000;
const HUB_INDEX = "index.docker.io";

/** Asks the registry that the term names (`registry.example.com/word`), else Docker Hub. In the registry's order. */
export async function searchImages(
  settings: RegistrySettings,
  term: string,
  limit: number,
): Promise<readonly FoundImage[]> {
  const { host, word } = splitTerm(term);
  using transport = new Transport(settings, undefined);
  const endpoint = {
    host,
    prefix: "",
    scheme: "https",
    isInsecure: await isInsecure(settings, host),
    isMirror: false,
  } as const;
  const session = new Session(transport, endpoint, openCredentialStore(settings.environment), { settings });
  const query = new URLSearchParams({ q: word, n: String(limit) });
  const answer = await session.ask({ method: "GET", target: `/v1/search?${query}`, scopes: [] }, [200]);
  return parseResults(await answer.bytes(MAX_ANSWER, "the list of results"), describe("GET", answer.url));
}

function splitTerm(term: string): { readonly host: string; readonly word: string } {
  if (term.includes("://")) {
    throw new CtrError("invalid", 'invalid repository name (ex: "registry.domain.tld/myrepos")');
  }
  const slash = term.indexOf("/");
  const first = slash < 0 ? "" : term.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  if (isHost && canonicalDomain(first) !== "docker.io") return { host: first, word: term.slice(slash + 1) };
  return { host: HUB_INDEX, word: (isHost ? term.slice(slash + 1) : term).replace(/^library\//, "") };
}

/** The answer's `results`; throws RegistryError `invalid` for what is no list of them. */
export function parseResults(bytes: Uint8Array, context: string): readonly FoundImage[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new RegistryError("invalid", `${context}: the answer is not JSON`, { cause: error });
  }
  const results = asObject(parsed)?.["results"] ?? [];
  if (!Array.isArray(results)) throw new RegistryError("invalid", `${context}: the answer has no list of results`);
  return results.slice(0, MAX_RESULTS).map((item) => {
    const result = asObject(item);
    const name = result?.["name"];
    const description = result?.["description"] ?? "";
    const stars = result?.["star_count"] ?? 0;
    if (typeof name !== "string" || typeof description !== "string" || typeof stars !== "number") {
      throw new RegistryError("invalid", `${context}: a result is not what it should be`);
    }
    return {
      name,
      description,
      stars,
      isOfficial: result?.["is_official"] === true,
      isAutomated: result?.["is_automated"] === true,
    };
  });
}
