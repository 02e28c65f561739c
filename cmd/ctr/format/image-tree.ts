/** `ctr images --tree`: each image with its names, and below it the platform it is for. */
import type { Engine } from "../../../internal/db/engine.ts";
import { humanSize } from "../../../internal/image/human-size.ts";
import type { ListedImage } from "../../../internal/image/list.ts";
import { UsageError } from "../flags.ts";
import { print } from "../output.ts";
import { shortId } from "./container-text.ts";
import { layoutTable } from "./table.ts";

interface Row {
  readonly id: string;
  readonly architecture: string;
  readonly variant: string | null;
  readonly content: number;
  readonly is_used: number;
}

/** Flags that cannot be given with it, by name, and whether they are. */
export type TreeConflicts = { readonly [flag: string]: boolean | string };

/** Prints the tree. Throws UsageError for flags that do not go with it. */
export function printImageTree(engine: Engine, images: readonly ListedImage[], conflicts: TreeConflicts): void {
  for (const [flag, value] of Object.entries(conflicts)) {
    if (value !== false && value !== "") throw new UsageError(`--${flag} is not yet supported with --tree`, 1, "", "");
  }
  const known = new Map(rowsOf(engine).map((row) => [row.id, row]));
  const rows = [...Map.groupBy(images, ({ id }) => id).values()].flatMap((named) => {
    const [image] = named;
    const row = image === undefined ? undefined : known.get(image.id);
    if (image === undefined || row === undefined) return [];
    const sizes = [shortId(image.id), humanSize(image.size + row.content), humanSize(row.content)];
    const names = named.map(({ repository, tag }) => (repository === "<none>" ? "<untagged>" : `${repository}:${tag}`));
    const platform = ["linux", row.architecture, ...(row.variant === null ? [] : [row.variant])].join("/");
    const extra = row.is_used === 1 ? "U" : "";
    return [
      ...names.slice(0, -1).map((name) => [name]),
      [names.at(-1) ?? "", ...sizes, extra],
      [`└─ ${platform}`, ...sizes, extra],
    ];
  });
  print(layoutTable([["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "IN USE"], ...rows]));
}

function rowsOf(engine: Engine): Row[] {
  return engine.db
    .query<Row, []>(
      `SELECT id, coalesce(json_extract(config, '$.architecture'), '') AS architecture,
         json_extract(config, '$.variant') AS variant,
         (SELECT coalesce(sum(size), 0) FROM image_blob WHERE image_id = image.id) AS content,
         EXISTS (SELECT 1 FROM container WHERE container.image_id = image.id) AS is_used
       FROM image`,
    )
    .all();
}
