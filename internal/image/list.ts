/** What `images` shows: one line per tag, or one without a name. */
import type { Engine } from "../db/engine.ts";
import type { ImageFilter } from "./filter.ts";
import { globMatcher } from "./glob.ts";

export interface ListedImage {
  readonly id: string;
  /** `<none>` without a tag. */
  readonly repository: string;
  readonly tag: string;
  /** The digest that its repository has it under; `<none>` if that is not known, or was not asked for. */
  readonly digest: string;
  readonly createdMs: number;
  readonly size: number;
}

export interface ListOptions {
  /** Also images without a name that others are made from. */
  readonly all: boolean;
  /** `name` or `name:tag`; `*` matches within a component. An empty one says nothing. */
  readonly pattern: string | undefined;
  /** Of `parseImageFilters`. */
  readonly filter?: ImageFilter | undefined;
  /** One line per tag and digest, instead of one per tag. */
  readonly withDigests?: boolean;
}

/** An image with one of its tags, or (reference null) without any. */
interface Row {
  readonly id: string;
  readonly created: string | null;
  readonly size: number;
  readonly parent: string | null;
  readonly reference: string | null;
}

interface Image {
  readonly id: string;
  readonly createdMs: number;
  readonly size: number;
  readonly parent: string | null;
  readonly tags: string[];
}

/** When an image says nothing about its birth. */
const NEVER_MS = Date.parse("0001-01-01T00:00:00Z");

/**
 * The images, newest first. Answered from indexes alone: a configuration is some kilobytes of JSON, and `images` is to
 * be as quick with hundreds of them as with one.
 */
export function listImages(engine: Engine, options: ListOptions): ListedImage[] {
  const { all, filter, withDigests = false } = options;
  const pattern = options.pattern || undefined;
  const matchesPattern = patternMatcher(pattern);
  const images = readImages(engine);
  const digests = readDigests(engine);
  const parents = new Set(images.map(({ parent }) => parent));
  const listed: ListedImage[] = [];
  for (const { id, createdMs, size, tags } of images) {
    const known = digests.get(id) ?? NONE;
    if (filter?.({ id, createdMs, references: [...tags, ...known] }) === false) continue;
    if (tags.length === 0 && known.length === 0 && pattern === undefined && (all || !parents.has(id))) {
      listed.push({ id, createdMs, size, repository: "<none>", tag: "<none>", digest: "<none>" });
    }
    for (const { repository, tag, digest, reference } of namesOf(tags, known, withDigests)) {
      if (!matchesPattern(repository, tag)) continue;
      if (filter?.({ id, createdMs, references: [reference] }) === false) continue;
      listed.push({ id, createdMs, size, repository, tag, digest });
    }
  }
  return listed;
}

/** Every image with its tags, newest first. */
function readImages(engine: Engine): readonly Image[] {
  // Left to itself SQLite scans the table, which is all configurations.
  const rows = engine.db
    .query<Row, []>(
      `SELECT image.id, created, size, parent, reference
       FROM image INDEXED BY image_listing LEFT JOIN tag ON tag.image_id = image.id
       ORDER BY created DESC, image.id, reference`,
    )
    .all();
  const images: Image[] = [];
  let last: Image | undefined;
  let isSorted = true;
  for (const { id, created, size, parent, reference } of rows) {
    if (last?.id !== id) {
      const parsedMs = created === null ? NEVER_MS : Date.parse(created);
      // Of two members with one name SQLite takes the first, JSON.parse the last, which was checked.
      const createdMs = Number.isNaN(parsedMs) ? NEVER_MS : parsedMs;
      if (last !== undefined && last.createdMs < createdMs) isSorted = false;
      last = { id, createdMs, size, parent, tags: [] };
      images.push(last);
    }
    if (reference !== null) last.tags.push(reference);
  }
  // SQLite compares texts: right as long as all moments are written in one time zone.
  return isSorted ? images : images.sort((a, b) => b.createdMs - a.createdMs);
}

/** The digests of each image that has any. */
function readDigests(engine: Engine): ReadonlyMap<string, readonly string[]> {
  const digests = new Map<string, string[]>();
  const rows = engine.db
    .query<{ image_id: string; reference: string }, []>(
      "SELECT image_id, reference FROM repo_digest ORDER BY image_id, reference",
    )
    .all();
  for (const { image_id, reference } of rows) {
    const known = digests.get(image_id);
    if (known === undefined) digests.set(image_id, [reference]);
    else known.push(reference);
  }
  return digests;
}

const NONE: readonly string[] = [];

interface ListedName {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
  /** What it comes from, in full. */
  readonly reference: string;
}

/** An image's tags, each with the digests of its repository if they are asked for, then repositories without a tag. */
function namesOf(tags: readonly string[], digests: readonly string[], withDigests: boolean): ListedName[] {
  if (digests.length === 0) {
    return tags.map((reference) => ({
      repository: repositoryOf(reference),
      tag: suffixOf(reference),
      digest: "<none>",
      reference,
    }));
  }
  const names: ListedName[] = [];
  const inRepository = Map.groupBy(digests, repositoryOf);
  const tagged = new Set<string>();
  for (const reference of tags) {
    const repository = repositoryOf(reference);
    tagged.add(repository);
    const shown = withDigests ? (inRepository.get(repository) ?? []).map(suffixOf) : [];
    for (const digest of shown.length === 0 ? ["<none>"] : shown) {
      names.push({ repository, tag: suffixOf(reference), digest, reference });
    }
  }
  for (const [repository, references] of inRepository) {
    if (tagged.has(repository)) continue;
    for (const reference of withDigests ? references : references.slice(0, 1)) {
      names.push({ repository, tag: "<none>", digest: withDigests ? suffixOf(reference) : "<none>", reference });
    }
  }
  return names;
}

/** The repository of a stored reference as it is shown. What is stored is in full and was parsed once: it is only cut. */
function repositoryOf(reference: string): string {
  const at = reference.indexOf("@");
  const name = reference.slice(0, at >= 0 ? at : reference.lastIndexOf(":"));
  if (!name.startsWith("docker.io/")) return name;
  const path = name.slice("docker.io/".length);
  return path.startsWith("library/") && !path.includes("/", "library/".length) ? path.slice("library/".length) : path;
}

/** Its tag, or its digest. */
function suffixOf(reference: string): string {
  const at = reference.indexOf("@");
  return reference.slice((at >= 0 ? at : reference.lastIndexOf(":")) + 1);
}

/** The operand of `images`: without a tag it matches every tag. */
function patternMatcher(pattern: string | undefined): (name: string, tag: string) => boolean {
  if (pattern === undefined) return () => true;
  const matches = globMatcher(pattern.replace(/^docker\.io\/(library\/)?/, ""));
  return (name, tag) => matches(name) || matches(`${name}:${tag}`);
}
