/** From what a user typed to an image in the store. On the path of every `run`: it loads nothing heavy. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { type ImageConfig, parseImageConfig } from "./config.ts";
import { familiarReference, formatReference, parseReference, withDefaultTag } from "./reference.ts";

export interface Image {
  /** `sha256:` and the digest of the config. */
  readonly id: string;
  readonly config: ImageConfig;
  /** Chain ids of its layers, lowest first: what `lowerDirectories` takes. */
  readonly layers: readonly string[];
  /** The full name of the tag it was found by; undefined if by id. */
  readonly reference: string | undefined;
}

/**
 * The image of a name (`name[:tag]`), an id with or without `sha256:`, or a unique prefix of one: in that order, as
 * Docker looks. Throws CtrError `not-found` with Docker's words, `invalid` for what can be neither.
 */
export function resolveImage(engine: Engine, text: string): Image {
  const { id, reference } = resolveImageId(engine, text);
  return { ...readImage(engine, id), reference };
}

/** As `resolveImage`, the id only. */
export function resolveImageId(
  engine: Engine,
  text: string,
): { readonly id: string; readonly reference: string | undefined } {
  const hex = /^(?:sha256:)?([0-9a-f]{64})$/.exec(text)?.[1];
  if (hex !== undefined) {
    const id = `sha256:${hex}`;
    if (engine.db.query("SELECT 1 FROM image WHERE id = ?").get(id) === null) throw notFound(text);
    return { id, reference: undefined };
  }
  const parsed = tryParse(text);
  if (parsed.reference !== undefined) {
    const { domain, path, digest } = parsed.reference;
    if (digest !== undefined) {
      // With a digest the tag beside it says nothing.
      const row = engine.db
        .query<{ image_id: string }, [string]>("SELECT image_id FROM repo_digest WHERE reference = ?")
        .get(`${domain}/${path}@${digest}`);
      if (row === null) throw notFound(familiarReference(parsed.reference));
      return { id: row.image_id, reference: `${domain}/${path}@${digest}` };
    }
    const full = formatReference(parsed.reference);
    const row = engine.db
      .query<{ image_id: string }, [string]>("SELECT image_id FROM tag WHERE reference = ?")
      .get(full);
    if (row !== null) return { id: row.image_id, reference: full };
  }
  const prefix = /^(?:sha256:)?([0-9a-f]{1,63})$/.exec(text)?.[1];
  if (prefix !== undefined) {
    // GLOB uses the primary key's index; the prefix is hexadecimal, so it holds no pattern.
    const rows = engine.db
      .query<{ id: string }, [string]>("SELECT id FROM image WHERE id GLOB ? LIMIT 2")
      .all(`sha256:${prefix}*`);
    const [only, second] = rows;
    if (only !== undefined && second === undefined) return { id: only.id, reference: undefined };
  }
  if (parsed.reference === undefined) throw parsed.error;
  throw notFound(familiarReference(parsed.reference));
}

/** The image with exactly this id. */
export function readImage(engine: Engine, id: string): Omit<Image, "reference"> {
  const row = engine.db.query<{ config: string }, [string]>("SELECT config FROM image WHERE id = ?").get(id);
  if (row === null) throw notFound(id);
  const layers = engine.db
    .query<{ chain_id: string }, [string]>("SELECT chain_id FROM image_layer WHERE image_id = ? ORDER BY position")
    .all(id);
  return { id, config: parseImageConfig(row.config), layers: layers.map((layer) => layer.chain_id) };
}

type Parsed =
  | { readonly reference: ReturnType<typeof parseReference>; readonly error?: never }
  | { readonly reference?: never; readonly error: CtrError };

function tryParse(text: string): Parsed {
  try {
    return { reference: withDefaultTag(parseReference(text)) };
  } catch (error) {
    // Not a name; it may still be an id. If it is not, this is what is said.
    if (error instanceof CtrError) return { error };
    throw error;
  }
}

function notFound(name: string): CtrError {
  return new CtrError("not-found", `No such image: ${name}`);
}
