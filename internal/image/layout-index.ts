/** `<root>/content/index.json`, so that other tools read the store as an OCI layout (image-spec image-layout.md). */
import type { Engine } from "../db/engine.ts";
import { replaceFile } from "../sys/file.ts";
import { IMAGE_NAME, INDEX_TYPE, REF_NAME } from "./media-types.ts";

interface Row {
  readonly manifest: string;
  readonly manifest_type: string;
  readonly manifest_size: number;
  readonly reference: string | null;
}

/** Writes the index anew from the database. Call it inside the transaction that changed images or tags. */
export function writeIndex(engine: Engine): void {
  const rows = engine.db
    .query<Row, []>(
      `SELECT manifest, manifest_type, manifest_size, reference FROM image LEFT JOIN tag ON tag.image_id = image.id
       ORDER BY reference, manifest`,
    )
    .all();
  const manifests = rows.map((row) => ({
    mediaType: row.manifest_type,
    digest: row.manifest,
    size: row.manifest_size,
    ...(row.reference === null ? {} : { annotations: { [IMAGE_NAME]: row.reference, [REF_NAME]: row.reference } }),
  }));
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests };
  replaceFile(`${engine.root}/content/index.json`, JSON.stringify(index), 0o644);
}
