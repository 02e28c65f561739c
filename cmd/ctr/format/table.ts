/** Docker's table layout: Go's tabwriter with a least cell width of 10 and a padding of 3 spaces. */

/** Of a column, with its padding. */
const LEAST_WIDTH = 10;
const PADDING = 3;

/** The lines of a table; the last column is not padded. A row may be shorter than the others. */
export function layoutTable(rows: readonly (readonly string[])[], leastWidth = LEAST_WIDTH): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (let column = 0; column < row.length - 1; column++) {
      const width = Math.max(leastWidth, textWidth(row[column] ?? "") + PADDING);
      if (width > (widths[column] ?? 0)) widths[column] = width;
    }
  }
  let text = "";
  for (const row of rows) {
    for (let column = 0; column < row.length; column++) {
      const cell = row[column] ?? "";
      text += column === row.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - textWidth(cell));
    }
    text += "\n";
  }
  return text;
}

/** In code points, as tabwriter counts. */
function textWidth(text: string): number {
  let width = text.length;
  for (let at = 0; at < text.length; at++) if ((text.charCodeAt(at) & 0xfc00) === 0xdc00) width--;
  return width;
}
