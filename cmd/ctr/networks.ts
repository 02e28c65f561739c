/** What the commands about networks have in common. */
import { CtrError } from "../../internal/errors/error.ts";
import type { Endpoint, NetworkRecord } from "../../internal/ipc/netd.ts";

const SHORT = 12;

/** The one that a user means: by name, by id, or by the unique beginning of an id. Throws CtrError in Docker's words. */
export function networkNamed(networks: readonly NetworkRecord[], text: string): NetworkRecord {
  const exact = networks.find(({ name, id }) => name === text || id === text);
  if (exact !== undefined) return exact;
  const found = /^[0-9a-f]+$/.test(text) ? networks.filter(({ id }) => id.startsWith(text)) : [];
  if (found.length > 1)
    throw new CtrError("invalid", `network ${text} is ambiguous (${found.length} matches found on ID prefix)`);
  if (found[0] === undefined) throw new CtrError("not-found", `network ${text} not found`);
  return found[0];
}

export function isPredefined({ name }: NetworkRecord): boolean {
  return name === "bridge" || name === "host" || name === "none";
}

type Accepts = (network: NetworkRecord) => boolean;

/** Docker's filters of `network ls`: values of one are alternatives, but labels all apply. Throws `invalid`. */
export function networkFilter(texts: readonly string[], endpoints: readonly Endpoint[]): Accepts {
  const byKey = new Map<string, string[]>();
  for (const text of texts) {
    const equals = text.indexOf("=");
    if (equals < 0)
      throw new CtrError(
        "invalid",
        `invalid argument ${JSON.stringify(text)} for "-f, --filter" flag: bad format of filter (expected name=value)`,
      );
    const key = text.slice(0, equals).trim().toLowerCase();
    byKey.set(key, [...(byKey.get(key) ?? []), text.slice(equals + 1).trim()]);
  }
  const checks = [...byKey].map(([key, values]) => filterOf(key, values, endpoints));
  return (network) => checks.every((accepts) => accepts(network));
}

function filterOf(key: string, values: readonly string[], endpoints: readonly Endpoint[]): Accepts {
  switch (key) {
    case "dangling": {
      const wanted = values.map((value) => ({ true: true, "1": true, false: false, "0": false })[value]);
      if (wanted.includes(undefined) || new Set(wanted).size !== 1)
        throw new CtrError("invalid", `invalid filter 'dangling=[${values.join(" ")}]'`);
      return (network) => {
        const isUsed = isPredefined(network) || endpoints.some(({ networkId }) => networkId === network.id);
        return wanted[0] === !isUsed;
      };
    }
    case "driver":
      return ({ driver }) => values.includes(driver);
    case "id":
      return ({ id }) => values.some((value) => id.includes(value));
    case "name":
      return ({ name }) => values.some((value) => name.includes(value) || matches(name, value));
    case "label":
      return ({ labels }) => values.every((value) => hasLabel(labels, value));
    case "scope":
      return () => values.includes("local");
    case "type":
      for (const value of values)
        if (value !== "builtin" && value !== "custom")
          throw new CtrError("invalid", `invalid filter: 'type'='${value}'`);
      return (network) => values.includes(isPredefined(network) ? "builtin" : "custom");
    default:
      throw new CtrError("invalid", `invalid filter '${key}'`);
  }
}

function matches(name: string, pattern: string): boolean {
  try {
    return new RegExp(pattern).test(name);
  } catch {
    // Not a regular expression, and the text was not found in the name.
    return false;
  }
}

function hasLabel(labels: NetworkRecord["labels"], wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const name = equals < 0 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, name) && (equals < 0 || labels[name] === wanted.slice(equals + 1));
}

export function shortNetworkId(id: string): string {
  return id.slice(0, SHORT);
}

/** `name=value` texts as a map; a text without a value has an empty one. */
export function pairs(texts: readonly string[]): { readonly [name: string]: string } {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf("=");
      return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
