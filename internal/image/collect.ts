/**
 * Collecting what nobody needs: workspaces of killed commands, layers, blobs. In two steps, so that a kill between any
 * two instructions leaves at worst a file that no row names, which the next collection finds:
 *
 *   1. the rows go, in a transaction that is on the disk when it returns (`forgetUnused`)
 *   2. what no row names goes, with everybody else held off while it is looked for (`removeUnnamed`)
 *
 * Whoever installs files does it inside the transaction that names them, so in step 2 there is none that is about to be.
 */

import { collectBlobs, ensureLayout } from "../content/blob-store.ts";
import { collectDownloads } from "../content/download.ts";
import { collectWorkspaces } from "../content/workspace.ts";
import { durableTransaction, transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { makeReserve, withReserve } from "../db/reserve.ts";
import { chooseSnapshotter } from "../snapshot/choose-driver.ts";
import { forgetLayers, removeLayerDirectory, unnamedLayers } from "../snapshot/layers.ts";
import { treeUsage } from "../snapshot/usage.ts";
import { writeListings } from "./listings.ts";

/**
 * What comes before anything is put into the store: its storage driver is known, and what killed commands left is gone.
 * Throws `conflict` where another driver is asked for than the store has.
 */
export function prepareStore(engine: Engine): void {
  chooseSnapshotter(engine);
  collectGarbage(engine);
}

/**
 * Removes every leftover in the image store. For the prune commands (`isMeasured`) also unfinished downloads, and the
 * bytes that came free are told, which costs a walk.
 */
export function collectGarbage(engine: Engine, isMeasured = false): number {
  const measure = isMeasured ? treeUsage : () => 0;
  const workspaces = collectWorkspaces(engine.root, measure);
  // What a pull left to go on with is kept for a while, but not when room is asked for.
  const downloads = collectDownloads(engine.root, isMeasured);
  ensureLayout(engine.root);
  durableTransaction(engine.db, () => forgetUnused(engine));
  return workspaces + downloads + removeUnnamed(engine, measure);
}

/**
 * Forgets the layers that neither an image nor a container has, and what is known of blobs that are not there any more.
 * Call it inside the transaction that took away their user. Returns the chain ids, topmost first.
 */
export function forgetUnused(engine: Engine): string[] {
  const layers = forgetLayers(engine);
  engine.db.run("DELETE FROM compressed_blob WHERE source NOT IN (SELECT digest FROM image_blob)");
  engine.db.run(
    `DELETE FROM blob_origin
     WHERE digest NOT IN (SELECT digest FROM image_blob UNION SELECT digest FROM compressed_blob)`,
  );
  return layers;
}

/** Removes the blobs and the layers' directories that no row names; returns the sum of what `measure` says of them. */
export function removeUnnamed(engine: Engine, measure: (path: string) => number = () => 0): number {
  const { blobs, layers } = withReserve(engine.root, () =>
    transaction(engine.db, () => {
      const used = engine.db
        .query<{ digest: string }, []>(
          `SELECT id AS digest FROM image UNION SELECT manifest FROM image UNION SELECT digest FROM image_blob
         UNION SELECT blob FROM layer`,
        )
        .all();
      const sum = collectBlobs(engine.root, new Set(used.map((row) => row.digest)), measure);
      writeListings(engine);
      return { blobs: sum, layers: unnamedLayers(engine) };
    }),
  );
  // Their names are drawn once and never again, so nobody can come to need them: this may take its time.
  let bytes = blobs;
  for (const path of layers) {
    bytes += measure(path);
    removeLayerDirectory(path);
  }
  makeReserve(engine.root);
  return bytes;
}
