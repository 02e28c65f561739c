/** A table as Go's tabwriter lays it out for runc: columns at least 12 wide, three blanks between. */

const LEAST = 12;
const GAP = 3;

/** Its lines; the last column is not filled up. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(LEAST, ...rows.map((row) => Array.from(row[at] ?? "").length + GAP)),
  );
  return rows
    .map((row) => `${row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join("")}\n`)
    .join("");
}
