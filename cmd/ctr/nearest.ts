/** The names a mistyped one was probably meant for. */

/** How many are shown at most. */
const MOST = 3;

/** Those of `names` that are one or two slips away from `word`, or begin with it; the nearest first. */
export function nearest(word: string, names: readonly string[]): readonly string[] {
  if (word.length < 2) return [];
  const allowed = word.length <= 3 ? 1 : 2;
  return names
    .map((name) => ({ name, slips: name.startsWith(word) ? 0.5 : slipsBetween(word.toLowerCase(), name) }))
    .filter(({ slips }) => slips <= allowed)
    .sort((a, b) => a.slips - b.slips || (a.name < b.name ? -1 : 1))
    .slice(0, MOST)
    .map(({ name }) => name);
}

/** Letters left out, put in, mistaken or swapped with their neighbour (optimal string alignment). */
function slipsBetween(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let slips = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (isSame ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        slips = Math.min(slips, (before[j - 2] ?? 0) + 1);
      }
      row.push(slips);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
