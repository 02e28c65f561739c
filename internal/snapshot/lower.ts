/** Where the unpacked layers of an image are. On the path of every start: it loads nothing heavy. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";

/**
 * The directories of these layers for overlayfs, topmost first, as absolute paths. `chainIds` is lowest first, as an
 * image and the `layers` column of a container have them. Throws CtrError `conflict` if one is not there: who had it from an
 * image was overtaken by the image's removal.
 */
export function lowerDirectories(engine: Engine, chainIds: readonly string[]): string[] {
  const query = engine.db.query<{ directory: string }, [string]>("SELECT directory FROM layer WHERE chain_id = ?");
  const directories: string[] = [];
  for (const chainId of chainIds) {
    const row = query.get(chainId);
    if (row === null) throw new CtrError("conflict", `layer ${chainId} is not in the store`);
    directories.push(`${engine.root}/layers/${row.directory}`);
  }
  return directories.reverse();
}
