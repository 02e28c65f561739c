/** Tags: which reference names which image. */

import { ensureLayout } from "../content/blob-store.ts";
import { transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { recordImageEvent } from "./event.ts";
import { writeListings } from "./listings.ts";
import { familiarReference, parseReference, parseTarget } from "./reference.ts";
import { resolveImageId } from "./resolve.ts";

/** Points a full reference at an image; another image that had it loses it. Inside a transaction. */
export function setTag(engine: Engine, reference: string, imageId: string): void {
  engine.db
    .query(
      `INSERT INTO tag (reference, image_id, tagged_at) VALUES (?, ?, ?)
       ON CONFLICT (reference) DO UPDATE SET image_id = excluded.image_id, tagged_at = excluded.tagged_at`,
    )
    .run(reference, imageId, Date.now());
}

/** `tag SOURCE TARGET`. Throws `not-found` for the source, `invalid` for a target that cannot be a tag. */
export function tagImage(engine: Engine, source: string, target: string): void {
  const reference = parseTarget(target);
  ensureLayout(engine.root);
  transaction(engine.db, () => {
    const { id } = resolveImageId(engine, source);
    setTag(engine, reference, id);
    recordImageEvent(engine, "tag", id, familiarReference(parseReference(reference)));
    writeListings(engine);
  });
}

/** The full references of an image, sorted. */
export function tagsOf(engine: Engine, imageId: string): string[] {
  return engine.db
    .query<{ reference: string }, [string]>("SELECT reference FROM tag WHERE image_id = ? ORDER BY reference")
    .all(imageId)
    .map((row) => row.reference);
}
