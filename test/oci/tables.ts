/**
 * Puts verdicts of the conformance suite together, from cgroup v1 and cgroup v2, and prints the table of
 * docs/oci-conformance.md.
 *
 *   bun test/oci/tables.ts V1-ROWS V2-ROWS...      files with what table.ts --rows and machine-rows.ts have printed
 */
import { readFileSync } from "node:fs";

interface Row {
  readonly runtime: string;
  readonly scene: string;
  readonly section: string;
  readonly level: string;
  readonly says: string;
  readonly problem?: string;
}

/** Columns by their heads: the runtime, and where; in them the problems by sentence. */
const columns = new Map<string, Map<string, string | undefined>>();
const sentences = new Map<string, Row>();
for (const [at, file] of process.argv.slice(2).entries()) {
  for (const line of readFileSync(file, "utf8").split("\n")) {
    if (!line.startsWith("row ")) continue;
    // Written by table.ts.
    const row: Row = JSON.parse(line.slice("row ".length));
    const [name, how] = row.runtime.split("+");
    const head = `${name} ${how ?? (at === 0 ? "v1" : "v2")}`;
    const key = `${row.scene}\n${row.section}\n${row.says}`;
    if (!sentences.has(key)) sentences.set(key, row);
    const column = columns.get(head) ?? new Map<string, string | undefined>();
    columns.set(head, column.set(key, row.problem));
    if (row.problem !== undefined && name === "ctr")
      console.error(`${head}: ${row.scene}: ${row.section}: ${row.says}: ${row.problem}`);
  }
}

const heads = [...columns.keys()];
const held = [...columns.values()].map((column) => {
  const problems = [...column.values()];
  return `${problems.filter((problem) => problem === undefined).length} of ${problems.length}`;
});
console.log(`| section | level | sentence | ${heads.join(" | ")} |`);
console.log(`| --- | --- | --- |${" --- |".repeat(heads.length)}`);
console.log(`| all | | | ${held.join(" | ")} |`);
for (const [key, { section, level, says }] of sentences) {
  const mark = (column: ReadonlyMap<string, string | undefined>) =>
    column.has(key) ? (column.get(key) === undefined ? "yes" : "no") : "";
  const marks = [...columns.values()].map(mark);
  console.log(`| ${section} | ${level} | ${says.replaceAll("|", "\\|")} | ${marks.join(" | ")} |`);
}
