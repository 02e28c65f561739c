/** What `images` shows: one line per tag, or one without a name. */
import type { Engine } from "../db/engine.ts";
import type { ImageFilter } from "./filter.ts";
import { globMatches } from "./glob.ts";

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
  /** `name` or `name:tag`; `*` matches within a component. */
  readonly pattern: string | undefined;
  /** Of `parseImageFilters`. */
  readonly filter?: ImageFilter | undefined;
  /** One line per tag and digest, instead of one per tag. */
  readonly withDigests?: boolean;
}

/** A name of an image, or (reference null) the image without any. */
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
  readonly tags: string[];
  readonly digests: string[];
}

/** When an image says nothing about its birth. */
const NEVER_MS = Date.parse("0001-01-01T00:00:00Z");

/**
 * The images, newest first. One query, answered from indexes alone: a configuration is some kilobytes of JSON, and
 * `images` is to be as quick with hundreds of them as with one.
 */
export function listImages(engine: Engine, options: ListOptions): ListedImage[] {
  const parents = new Set<string>();
  const listed: ListedImage[] = [];
  const { filter, withDigests = false } = options;
  const images = readImages(engine, parents);
  for (const { id, createdMs, size, tags, digests } of images) {
    if (filter?.({ id, createdMs, references: [...tags, ...digests] }) === false) continue;
    const isNameless = tags.length === 0 && digests.length === 0;
    if (isNameless && options.pattern === undefined && (options.all || !parents.has(id))) {
      listed.push({ id, createdMs, size, repository: "<none>", tag: "<none>", digest: "<none>" });
    }
    for (const { repository, tag, digest, reference } of namesOf(tags, digests, withDigests)) {
      if (!matchesPattern(options.pattern, repository, tag)) continue;
      if (filter?.({ id, createdMs, references: [reference] }) === false) continue;
      listed.push({ id, createdMs, size, repository, tag, digest });
    }
  }
  return listed.sort((a, b) => b.createdMs - a.createdMs);
}

/** Every image with its names; the ids that others were made from go into `parents`. */
function readImages(engine: Engine, parents: Set<string>): readonly Image[] {
  const images = new Map<string, Image>();
  for (const { id, created, size, parent, reference } of rowsOf(engine)) {
    let image = images.get(id);
    if (image === undefined) {
      image = { id, createdMs: created === null ? NEVER_MS : Date.parse(created), size, tags: [], digests: [] };
      images.set(id, image);
      if (parent !== null) parents.add(parent);
    }
    if (reference === null) continue;
    if (reference.includes("@")) image.digests.push(reference);
    else image.tags.push(reference);
  }
  return [...images.values()];
}

function rowsOf(engine: Engine): Row[] {
  return engine.db
    .query<Row, []>(
      `SELECT image.id, image.created, image.size, image.parent, name.reference
       FROM image LEFT JOIN (
         SELECT reference, image_id FROM tag UNION ALL SELECT reference, image_id FROM repo_digest
       ) AS name ON name.image_id = image.id ORDER BY name.reference`,
    )
    .all();
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
  const names: ListedName[] = [];
  const inRepository = digests.length === 0 ? NO_DIGESTS : Map.groupBy(digests, repositoryOf);
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

const NO_DIGESTS: ReadonlyMap<string, readonly string[]> = new Map();

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
function matchesPattern(pattern: string | undefined, name: string, tag: string): boolean {
  if (pattern === undefined) return true;
  const short = pattern.replace(/^docker\.io\/(library\/)?/, "");
  return globMatches(short, name) || globMatches(short, `${name}:${tag}`);
}
