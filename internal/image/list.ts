/** What `images` shows: one line per tag, or one without a name. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { parseImageConfig } from "./config.ts";
import { familiarName, parseReference } from "./reference.ts";
import { resolveImage } from "./resolve.ts";

export interface ListedImage {
  readonly id: string;
  /** `<none>` without a tag. */
  readonly repository: string;
  readonly tag: string;
  /** The digest that its repository has it under; `<none>` if that is not known, or was not asked for. */
  readonly digest: string;
  readonly createdMs: number;
  /** As the config has it, RFC 3339. */
  readonly created: string;
  readonly size: number;
  readonly labels: { readonly [label: string]: string };
  /** How many containers were made from it. */
  readonly containers: number;
}

export interface ListOptions {
  /** Also images without a name that others are made from. */
  readonly all: boolean;
  /** `name` or `name:tag`; `*` matches within a component. */
  readonly pattern: string | undefined;
  /** `key=value` as Docker's `--filter`. */
  readonly filters: readonly string[];
  /** One line per tag and digest, instead of one per tag. */
  readonly withDigests?: boolean;
}

interface Row {
  readonly id: string;
  readonly config: string;
  readonly size: number;
  readonly containers: number;
  readonly has_children: number;
}

/** The images, newest first. Throws `invalid` for an unknown filter. */
export function listImages(engine: Engine, options: ListOptions): ListedImage[] {
  const filters = parseFilters(engine, options.filters);
  const tags = Map.groupBy(
    engine.db
      .query<{ reference: string; image_id: string }, []>("SELECT reference, image_id FROM tag ORDER BY reference")
      .all(),
    (row) => row.image_id,
  );
  const digests = Map.groupBy(
    engine.db
      .query<{ reference: string; image_id: string }, []>(
        "SELECT reference, image_id FROM repo_digest ORDER BY reference",
      )
      .all(),
    (row) => row.image_id,
  );
  const listed: ListedImage[] = [];
  for (const row of imageRows(engine)) {
    const config = parseImageConfig(row.config);
    const base = {
      id: row.id,
      created: config.created ?? NEVER,
      createdMs: Date.parse(config.created ?? NEVER),
      size: row.size,
      labels: config.config.Labels ?? {},
      containers: row.containers,
    };
    const references = (tags.get(row.id) ?? []).map((tag) => tag.reference);
    const known = (digests.get(row.id) ?? []).map((digest) => digest.reference);
    if (!filters.every((filter) => filter({ ...base, references: [...references, ...known] }))) continue;
    const isNameless = references.length === 0 && known.length === 0;
    if (isNameless && options.pattern === undefined && (options.all || row.has_children === 0)) {
      listed.push({ ...base, repository: "<none>", tag: "<none>", digest: "<none>" });
    }
    for (const name of namesOf(references, known, options.withDigests === true)) {
      if (!matchesPattern(options.pattern, name.repository, name.tag)) continue;
      if (!filters.every((filter) => filter({ ...base, references: [name.reference] }))) continue;
      listed.push({ ...base, repository: name.repository, tag: name.tag, digest: name.digest });
    }
  }
  return listed.sort((a, b) => b.createdMs - a.createdMs);
}

interface ListedName {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
  /** What it comes from, in full. */
  readonly reference: string;
}

/** An image's tags, each with the digests of its repository if they are asked for, then repositories without a tag. */
function namesOf(tags: readonly string[], digests: readonly string[], withDigests: boolean): ListedName[] {
  const inRepository = Map.groupBy(digests, (digest) => familiarName(parseReference(digest)));
  const digestOf = (reference: string) => reference.slice(reference.indexOf("@") + 1);
  const names: ListedName[] = [];
  const tagged = new Set<string>();
  for (const reference of tags) {
    const parsed = parseReference(reference);
    const repository = familiarName(parsed);
    tagged.add(repository);
    const shown = withDigests ? (inRepository.get(repository) ?? []).map(digestOf) : [];
    for (const digest of shown.length === 0 ? ["<none>"] : shown) {
      names.push({ repository, tag: parsed.tag ?? "<none>", digest, reference });
    }
  }
  for (const [repository, references] of inRepository) {
    if (tagged.has(repository)) continue;
    for (const reference of withDigests ? references : references.slice(0, 1)) {
      names.push({ repository, tag: "<none>", digest: withDigests ? digestOf(reference) : "<none>", reference });
    }
  }
  return names;
}

const NEVER = "0001-01-01T00:00:00Z";

function imageRows(engine: Engine): Row[] {
  return engine.db
    .query<Row, []>(
      `SELECT id, config, size,
         (SELECT count(*) FROM container WHERE container.image_id = image.id) AS containers,
         EXISTS (SELECT 1 FROM image AS child WHERE child.parent = image.id) AS has_children
       FROM image`,
    )
    .all();
}

type Candidate = Pick<ListedImage, "id" | "createdMs" | "labels"> & { readonly references: readonly string[] };
type Filter = (image: Candidate) => boolean;

/** Filters of one key are alternatives, of different keys conditions; labels are all conditions. */
function parseFilters(engine: Engine, texts: readonly string[]): Filter[] {
  const alternatives = new Map<string, Filter[]>();
  const filters: Filter[] = [];
  for (const text of texts) {
    const equals = text.indexOf("=");
    if (equals < 0)
      throw new CtrError(
        "invalid",
        `invalid argument ${JSON.stringify(text)} for "-f, --filter" flag: bad format of filter (expected name=value)`,
      );
    const key = text.slice(0, equals).trim().toLowerCase();
    const filter = parseFilter(engine, key, text.slice(equals + 1).trim());
    if (key === "label") filters.push(filter);
    else alternatives.set(key, [...(alternatives.get(key) ?? []), filter]);
  }
  for (const some of alternatives.values()) filters.push((image) => some.some((filter) => filter(image)));
  return filters;
}

function parseFilter(engine: Engine, key: string, value: string): Filter {
  switch (key) {
    case "dangling": {
      const isWanted = parseBoolean(key, value);
      return (image) => (image.references.length === 0) === isWanted;
    }
    case "label": {
      const equals = value.indexOf("=");
      const [name, wanted] = equals < 0 ? [value, undefined] : [value.slice(0, equals), value.slice(equals + 1)];
      return (image) => image.labels[name] !== undefined && (wanted === undefined || image.labels[name] === wanted);
    }
    case "before":
    case "since": {
      const other = resolveImage(engine, value);
      const createdMs = Date.parse(other.config.created ?? NEVER);
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

/** The operand of `images`: without a tag it matches every tag. */
function matchesPattern(pattern: string | undefined, name: string, tag: string): boolean {
  if (pattern === undefined) return true;
  const short = pattern.replace(/^docker\.io\/(library\/)?/, "");
  return globMatches(short, name) || globMatches(short, `${name}:${tag}`);
}

/** path.Match of Go: `*` and `?` stay within a component. */
function globMatches(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  try {
    return new RegExp(`^${source}$`).test(text);
  } catch (error) {
    throw new CtrError("invalid", `syntax error in pattern ${JSON.stringify(pattern)}`, { cause: error });
  }
}
