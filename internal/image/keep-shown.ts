/** Makes the table of images that `readShownImages` finds. */
import type { Engine } from "../db/engine.ts";
import { humanSize } from "./human-size.ts";
import { listImages } from "./list.ts";
import { AGE } from "./shown.ts";

/** Tabwriter's, as in every table of Docker's. */
const LEAST_WIDTH = 10;
const PADDING = 3;

/** Makes the table anew if something has changed. Inside the transaction that has changed it. */
export function keepShownImages(engine: Engine): void {
  if (engine.db.query("SELECT 1 FROM image_list").get() !== null) return;
  const images = listImages(engine, { all: false, pattern: undefined });
  const rows = [
    ["REPOSITORY", "TAG", "IMAGE ID", "SIZE"] as const,
    ...images.map(
      ({ repository, tag, id, size }) =>
        [repository, tag, id.slice("sha256:".length, "sha256:".length + 12), humanSize(size)] as const,
    ),
  ];
  const widthOf = (column: 0 | 1 | 2) =>
    rows.reduce((width, row) => Math.max(width, row[column].length + PADDING), LEAST_WIDTH);
  const widths = [widthOf(0), widthOf(1), widthOf(2)] as const;
  const lines = rows.map(
    ([repository, tag, id, size]) =>
      `${repository.padEnd(widths[0])}${tag.padEnd(widths[1])}${id.padEnd(widths[2])}${AGE}${size}\n`,
  );
  const created = images.map(({ createdMs }) => createdMs);
  engine.db.query("INSERT INTO image_list (lines, created) VALUES (?, ?)").run(lines.join(""), JSON.stringify(created));
}
