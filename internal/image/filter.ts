/** The filters of `images`: of one key alternatives, of different keys conditions; labels are all conditions. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { globMatcher } from "./glob.ts";
import { parseMoment } from "./moment.ts";
import { familiarName, parseReference } from "./reference.ts";
import { resolveImage } from "./resolve.ts";

/** What a filter looks at. */
export interface FilteredImage {
  readonly id: string;
  readonly createdMs: number;
  /** In full, with a tag or a digest. */
  readonly references: readonly string[];
}

export type ImageFilter = (image: FilteredImage) => boolean;

/** Reads `key=value` filters. Throws CtrError `invalid` for an unknown key or a value that cannot be. */
export function parseImageFilters(engine: Engine, texts: readonly string[]): ImageFilter {
  const alternatives = new Map<string, ImageFilter[]>();
  const conditions: ImageFilter[] = [];
  const dangling: string[] = [];
  for (const text of texts) {
    const equals = text.indexOf("=");
    if (equals < 0) throw new CtrError("invalid", "invalid argument: bad format of filter (expected name=value)");
    const key = text.slice(0, equals).trim().toLowerCase();
    const value = text.slice(equals + 1).trim();
    if (key === "dangling") {
      dangling.push(value);
      continue;
    }
    const filter = parseFilter(engine, key, value);
    if (key === "label") conditions.push(filter);
    else alternatives.set(key, [...(alternatives.get(key) ?? []), filter]);
  }
  if (dangling.length > 0) {
    const isWanted = parseSwitch("dangling", dangling);
    conditions.push((image) => (image.references.length === 0) === isWanted);
  }
  for (const some of alternatives.values()) conditions.push((image) => some.some((filter) => filter(image)));
  return (image) => conditions.every((filter) => filter(image));
}

function parseFilter(engine: Engine, key: string, value: string): ImageFilter {
  switch (key) {
    case "label":
      return labelFilter(engine, value);
    case "before":
    case "since": {
      const { created } = resolveImage(engine, value).config;
      const createdMs = created === undefined ? Number.NEGATIVE_INFINITY : Date.parse(created);
      return (image) => (key === "before" ? image.createdMs < createdMs : image.createdMs > createdMs);
    }
    case "until": {
      const untilMs = Number(parseMoment("until", value, Date.now()) / 1_000_000n);
      return (image) => image.createdMs < untilMs;
    }
    case "reference":
      return referenceFilter(value);
    default:
      throw new CtrError("invalid", `invalid filter '${key}'`);
  }
}

/** One query finds them all: the labels are in the images' configurations. */
function labelFilter(engine: Engine, value: string): ImageFilter {
  const equals = value.indexOf("=");
  const [name, wanted] = equals < 0 ? [value, null] : [value.slice(0, equals), value.slice(equals + 1)];
  const rows = engine.db
    .query<{ id: string }, [string, string | null]>(
      `SELECT image.id FROM image, json_each(image.config, '$.config.Labels') AS label
       WHERE label.key = ?1 AND (?2 IS NULL OR label.value = ?2)`,
    )
    .all(name, wanted);
  const ids = new Set(rows.map((row) => row.id));
  return (image) => ids.has(image.id);
}

/** Docker's reading of a switch among filters (GetBoolOrDefault): what it has been given must mean one thing. */
export function parseSwitch(key: string, values: readonly string[]): boolean {
  const isTrue = values.includes("1") || values.includes("true");
  const isFalse = values.includes("0") || values.includes("false");
  if (isTrue === isFalse) throw new CtrError("invalid", `invalid filter '${key}=[${values.join(" ")}]'`);
  return isTrue;
}

function referenceFilter(pattern: string): ImageFilter {
  const matches = globMatcher(pattern);
  return (image) =>
    image.references.some((reference) => {
      const parsed = parseReference(reference);
      const name = familiarName(parsed);
      return [name, `${name}:${parsed.tag ?? ""}`, reference].some(matches);
    });
}
