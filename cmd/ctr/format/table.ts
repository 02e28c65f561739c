/** Docker's table layout: Go's tabwriter with a least cell width of 10 and a padding of 3 spaces. */

/** Of a column, with its padding. */
const LEAST_WIDTH = 10;
const PADDING = 3;

/** The lines of a table; the last column is not padded. A row may be shorter than the others. */
export function layoutTable(rows: readonly (readonly string[])[], leastWidth = LEAST_WIDTH): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (let column = 0; column < row.length - 1; column++) {
      const cell = row[column] ?? "";
      const width = cell.length - surrogates(cell) + PADDING;
      if (width > (widths[column] ?? leastWidth)) widths[column] = width;
    }
  }
  let text = "";
  for (const row of rows) {
    for (let column = 0; column < row.length; column++) {
      const cell = row[column] ?? "";
      text += column === row.length - 1 ? cell : cell.padEnd((widths[column] ?? leastWidth) + surrogates(cell));
    }
    text += "\n";
  }
  return text;
}

const HIGH_SURROGATE = /[\ud800-\udbff]/g;

/** How many code units more than code points: tabwriter counts code points. */
function surrogates(text: string): number {
  return text.search(HIGH_SURROGATE) < 0 ? 0 : (text.match(HIGH_SURROGATE)?.length ?? 0);
}
