/** How much space a container takes. */
import type { Engine } from "../db/engine.ts";
import { changedUsage } from "../snapshot/diff-trees.ts";
import { isFlat } from "../snapshot/flat.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { treeUsage } from "../snapshot/usage.ts";
import { writableSnapshot } from "../snapshot/writable.ts";
import type { ContainerRecord } from "./record.ts";

export interface ContainerSizes {
  /** Bytes of the files it wrote. */
  readonly writable: number;
  /** With its image's layers. */
  readonly total: number;
}

/** Walks the writable layer; links count once. */
export function containerSizes(engine: Engine, record: ContainerRecord): ContainerSizes {
  const { upper } = writableSnapshot(engine.root, record.id);
  const writable = isFlat(upper) ? changedUsage(upper, lowerDirectories(engine, record.layers)[0]) : treeUsage(upper);
  const query = engine.db.query<{ size: number }, [string]>("SELECT size FROM layer WHERE chain_id = ?");
  let image = 0;
  for (const chainId of record.layers) image += query.get(chainId)?.size ?? 0;
  return { writable, total: writable + image };
}
