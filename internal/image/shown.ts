/**
 * The table that `images` shows, kept ready in the database but for the ages: laying out hundreds of lines again for each
 * look at them would take most of the command. Triggers forget it with every change to what it was made from (schema.ts),
 * and who made the change makes it anew (keep-shown.ts).
 */
import type { Engine } from "../db/engine.ts";

/** What stands for the cell of the age, with its padding, in each line of a kept table. No name and no number has it. */
export const AGE = "\t";

export interface ShownImages {
  /** The lines, heading included, with `AGE` in each. */
  readonly table: string;
  /** When each image was made, as `ListedImage` has it: never later than the line before. */
  readonly createdMs: readonly number[];
}

/** The table of all tagged and dangling images with shortened ids. Undefined if it was not made since something changed. */
export function readShownImages(engine: Engine): ShownImages | undefined {
  const row = engine.db
    .query<{ lines: string; created: string }, []>("SELECT lines, created FROM image_list LIMIT 1")
    .get();
  // Only `keepShownImages` writes the row.
  return row === null ? undefined : { table: row.lines, createdMs: JSON.parse(row.created) as number[] };
}
