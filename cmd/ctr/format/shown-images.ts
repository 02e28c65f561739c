/** The table of `images`, from the one that is kept ready: only the ages are of now; and the ids that are in it. */
import { AGE, type ShownImages } from "../../../internal/image/shown.ts";
import { knownAgo } from "./duration.ts";
import { LEAST_WIDTH, PADDING } from "./table.ts";

/** Digits of an id that is shortened. */
const SHORT_ID = 12;

/** Lines that follow each other and show one age. */
interface Run {
  readonly age: string;
  readonly from: number;
  readonly end: number;
}

/** The table with its ages. */
export function shownImagesTable({ table, createdMs }: ShownImages, nowMs: number): string {
  const ages = runsOfAges(createdMs, nowMs);
  let width = LEAST_WIDTH;
  for (const { age } of ages) if (age.length + PADDING > width) width = age.length + PADDING;
  const parts = table.split(AGE);
  let text = `${parts[0] ?? ""}${"CREATED".padEnd(width)}${parts[1] ?? ""}`;
  for (const { age, from, end } of ages) {
    const cell = age.padEnd(width);
    // Behind the cell of line n (the heading is not counted) stands part n + 2.
    text += cell + parts.slice(from + 2, end + 2).join(cell);
  }
  return text;
}

/** The shortened ids of the table, one per line, as `-q` shows them. */
export function shownImageIds({ table }: ShownImages): string {
  const [heading = "", ...lines] = table.split("\n");
  const at = heading.indexOf("IMAGE ID");
  lines.pop(); // behind the last line's end
  return lines.map((line) => `${line.slice(at, at + SHORT_ID)}\n`).join("");
}

/**
 * From newest to oldest an age only grows, so two lines of one age have it between them too: most ages need not be worded.
 */
function runsOfAges(createdMs: readonly number[], nowMs: number): readonly Run[] {
  const runs: Run[] = [];
  for (let from = 0; from < createdMs.length; ) {
    const age = knownAgo(createdMs[from] ?? nowMs, nowMs);
    const hasAge = (line: number) => line < createdMs.length && knownAgo(createdMs[line] ?? nowMs, nowMs) === age;
    let last = from;
    let step = 1;
    while (hasAge(last + step)) {
      last += step;
      step *= 2;
    }
    for (step /= 2; step >= 1; step /= 2) if (hasAge(last + step)) last += step;
    runs.push({ age, from, end: last + 1 });
    from = last + 1;
  }
  return runs;
}
