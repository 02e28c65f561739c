/** Docker's table layout: Go's tabwriter with a least cell width of 10 and a padding of 3 spaces. */

/** Of a column, with its padding. */
export const LEAST_WIDTH = 10;
export const PADDING = 3;

/** The lines of a table; the last column is not padded. A row may be shorter than the others. */
export function layoutTable(rows: readonly (readonly string[])[], leastWidth = LEAST_WIDTH): string {
  const text = layout(rows, leastWidth, () => 0);
  // Looked at once for the whole table: hardly any has such characters, and cells are many.
  return text.search(HIGH_SURROGATE) < 0 ? text : layout(rows, leastWidth, surrogates);
}

/** `extra`: how many code units a cell has more than tabwriter, which counts code points, sees. */
function layout(rows: readonly (readonly string[])[], leastWidth: number, extra: (cell: string) => number): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (let column = 0; column < row.length - 1; column++) {
      const cell = row[column] ?? "";
      const width = cell.length - extra(cell) + PADDING;
      if (width > (widths[column] ?? leastWidth)) widths[column] = width;
    }
  }
  let text = "";
  for (const row of rows) {
    for (let column = 0; column < row.length; column++) {
      const cell = row[column] ?? "";
      text += column === row.length - 1 ? cell : cell.padEnd((widths[column] ?? leastWidth) + extra(cell));
    }
    text += "\n";
  }
  return text;
}

const HIGH_SURROGATE = /[\ud800-\udbff]/g;

function surrogates(text: string): number {
  return text.match(HIGH_SURROGATE)?.length ?? 0;
}
