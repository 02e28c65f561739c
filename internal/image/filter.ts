/** The filters of `images`: of one key alternatives, of different keys conditions; labels are all conditions. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { globMatches } from "./glob.ts";
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
  for (const text of texts) {
    const equals = text.indexOf("=");
    if (equals < 0) throw new CtrError("invalid", "invalid argument: bad format of filter (expected name=value)");
    const key = text.slice(0, equals).trim().toLowerCase();
    const filter = parseFilter(engine, key, text.slice(equals + 1).trim());
    if (key === "label") conditions.push(filter);
    else alternatives.set(key, [...(alternatives.get(key) ?? []), filter]);
  }
  for (const some of alternatives.values()) conditions.push((image) => some.some((filter) => filter(image)));
  return (image) => conditions.every((filter) => filter(image));
}

function parseFilter(engine: Engine, key: string, value: string): ImageFilter {
  switch (key) {
    case "dangling": {
      const isWanted = parseBoolean(key, value);
      return (image) => (image.references.length === 0) === isWanted;
    }
    case "label":
      return labelFilter(engine, value);
    case "before":
    case "since": {
      const { created } = resolveImage(engine, value).config;
      const createdMs = created === undefined ? Number.NEGATIVE_INFINITY : Date.parse(created);
      return (image) => (key === "before" ? image.createdMs < createdMs : image.createdMs > createdMs);
    }
    case "until": {
      const untilMs = parseMoment(value);
      return (image) => image.createdMs < untilMs;
    }
    case "reference":
      return (image) => image.references.some((reference) => matchesReference(reference, value));
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

function parseBoolean(key: string, value: string): boolean {
  if (["1", "true", "True", "TRUE", "t", "T"].includes(value)) return true;
  if (["0", "false", "False", "FALSE", "f", "F"].includes(value)) return false;
  throw new CtrError("invalid", `invalid filter '${key}=[${value}]'`);
}

/** Unix seconds, RFC 3339, or a duration back from now. */
function parseMoment(value: string): number {
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const duration = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(value);
  if (duration !== null && value !== "") {
    const [, hours = "0", minutes = "0", seconds = "0"] = duration;
    return Date.now() - ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
  }
  const moment = Date.parse(value);
  if (Number.isNaN(moment))
    throw new CtrError("invalid", `failed to parse value as time or duration: ${JSON.stringify(value)}`);
  return moment;
}

function matchesReference(reference: string, pattern: string): boolean {
  const parsed = parseReference(reference);
  const name = familiarName(parsed);
  return [name, `${name}:${parsed.tag ?? ""}`, reference].some((text) => globMatches(pattern, text));
}
