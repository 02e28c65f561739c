/** What `history` shows: how an image came to be, newest step first. */
import type { Engine } from "../db/engine.ts";
import { resolveImage } from "./resolve.ts";

export interface HistoryStep {
  /** The id of the image that ended with this step, where the store knows it. */
  readonly id: string | undefined;
  /** Undefined where the image does not say. */
  readonly createdMs: number | undefined;
  readonly createdBy: string;
  readonly comment: string;
  /** Unpacked bytes of its layer; 0 for a step that made none. */
  readonly size: number;
}

/** The steps of an image, as its own configuration tells them. Throws as `resolveImage`. */
export function imageHistory(engine: Engine, text: string): HistoryStep[] {
  const { id, config, layers } = resolveImage(engine, text);
  const sizes = layerSizes(engine, layers);
  let layer = 0;
  const steps = config.history.map(({ created, created_by, comment, empty_layer }) => ({
    createdMs: momentOf(created),
    createdBy: created_by ?? "",
    comment: comment ?? "",
    size: empty_layer === true ? 0 : (sizes[layer++] ?? 0),
  }));
  const ids = ancestry(engine, id);
  return steps.reverse().map((step, at) => ({ ...step, id: ids[at] }));
}

function momentOf(created: string | undefined): number | undefined {
  const ms = Date.parse(created ?? "");
  return Number.isNaN(ms) || ms < 0 ? undefined : ms;
}

/** Lowest first. */
function layerSizes(engine: Engine, layers: readonly string[]): number[] {
  const query = engine.db.query<{ size: number }, [string]>("SELECT size FROM layer WHERE chain_id = ?");
  return layers.map((chainId) => query.get(chainId)?.size ?? 0);
}

/** The image and those it was made from, one step each, as long as the store has them. */
function ancestry(engine: Engine, id: string): string[] {
  const rows = engine.db
    .query<{ id: string }, [string]>(
      `WITH RECURSIVE line (id, parent, depth) AS (
         SELECT id, parent, 0 FROM image WHERE id = ?
         UNION ALL SELECT image.id, image.parent, depth + 1 FROM image JOIN line ON image.id = line.parent WHERE depth < 1000
       ) SELECT id FROM line ORDER BY depth`,
    )
    .all(id);
  return rows.map((row) => row.id);
}
