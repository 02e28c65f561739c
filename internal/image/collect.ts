/** Collecting what nobody needs: workspaces of killed commands, layers, blobs. */
import { collectBlobs, ensureLayout } from "../content/blob-store.ts";
import { collectDownloads } from "../content/download.ts";
import { collectWorkspaces, openWorkspace } from "../content/workspace.ts";
import { transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { collectLayers } from "../snapshot/layers.ts";
import { writeIndex } from "./layout-index.ts";

/** Removes every leftover in the image store; returns the chain ids of the layers that went, topmost first. */
export function collectGarbage(engine: Engine): string[] {
  collectWorkspaces(engine.root);
  collectDownloads(engine.root);
  ensureLayout(engine.root);
  // Directories are moved here while the transaction holds everybody else off, and removed after it.
  using trash = openWorkspace(engine.root);
  return transaction(engine.db, () => collectInTransaction(engine, trash.path));
}

/** The part that needs the transaction; `trash` is a workspace that its owner disposes of afterwards. */
export function collectInTransaction(engine: Engine, trash: string): string[] {
  const layers = collectLayers(engine, trash);
  const used = engine.db
    .query<{ digest: string }, []>(
      `SELECT id AS digest FROM image UNION SELECT manifest FROM image UNION SELECT digest FROM image_blob
       UNION SELECT blob FROM layer`,
    )
    .all();
  collectBlobs(engine.root, new Set(used.map((row) => row.digest)));
  engine.db.run("DELETE FROM compressed_blob WHERE source NOT IN (SELECT digest FROM image_blob)");
  engine.db.run(
    `DELETE FROM blob_origin
     WHERE digest NOT IN (SELECT digest FROM image_blob UNION SELECT digest FROM compressed_blob)`,
  );
  writeIndex(engine);
  return layers;
}
