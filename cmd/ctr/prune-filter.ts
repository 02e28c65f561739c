/** `--filter` of the prune commands: `until`, `label` and `label!`. */
import { CtrError } from "../../internal/errors/error.ts";
import { parseMoment } from "../../internal/image/moment.ts";
import type { StringFlag } from "./command.ts";
import { invalidValue } from "./flags.ts";

/** What a filter looks at. */
export interface Candidate {
  readonly createdMs: number;
  readonly labels: { readonly [name: string]: string };
}

export interface PruneFilter {
  /** True if the filters let it go. */
  readonly accepts: (candidate: Candidate) => boolean;
  /** The value of another key, such as `all` of volumes; undefined if it was not given. */
  readonly value: (key: string) => string | undefined;
  /** All that was given of it. */
  readonly values: (key: string) => readonly string[];
}

/** The flag, the same in every command. */
export const FILTER_FLAG: StringFlag & { readonly repeatable: true } = {
  type: "string",
  repeatable: true,
  valueHint: "filter",
  description: 'Provide filter values (e.g. "label=<key>=<value>")',
};

/** Reads the filters; `keys` are those that this command knows. Throws what Docker would say of a bad one. */
export function parsePruneFilter(texts: readonly string[], keys: readonly string[]): PruneFilter {
  const values = new Map<string, string[]>();
  for (const text of texts) {
    const equals = text.indexOf("=");
    if (equals < 0) throw invalidValue("filter", FILTER_FLAG, text, "bad format of filter (expected name=value)");
    const key = text.slice(0, equals).trim().toLowerCase();
    if (!keys.includes(key)) throw new CtrError("invalid", `invalid filter '${key}'`);
    values.set(key, [...(values.get(key) ?? []), text.slice(equals + 1).trim()]);
  }
  const until = values.get("until") ?? [];
  if (until.length > 1) throw new CtrError("invalid", "more than one until filter specified");
  const untilNs = until[0] === undefined ? undefined : parseMoment("until", until[0], Date.now());
  const wanted = values.get("label") ?? [];
  const spared = values.get("label!") ?? [];
  return {
    accepts: ({ createdMs, labels }) => {
      if (untilNs !== undefined && BigInt(Math.trunc(createdMs)) * 1_000_000n > untilNs) return false;
      if (!wanted.every((label) => hasLabel(labels, label))) return false;
      return spared.length === 0 || !spared.every((label) => hasLabel(labels, label));
    },
    value: (key) => values.get(key)?.at(-1),
    values: (key) => values.get(key) ?? [],
  };
}

function hasLabel(labels: Candidate["labels"], wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const name = equals < 0 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, name) && (equals < 0 || labels[name] === wanted.slice(equals + 1));
}
