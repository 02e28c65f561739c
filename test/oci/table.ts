/**
 * Plays the conformance suite with several runtimes and prints the table of docs/oci-conformance.md, or with --failed only
 * what does not hold.
 *
 *   bun test/oci/table.ts [--failed] [--only TEXT] RUNTIME...
 */
import { runtime } from "./harness.ts";
import type { Verdict } from "./scene.ts";
import { SCENES } from "./scenes.ts";

const words = process.argv.slice(2);
const showsFailures = words.includes("--failed");
const only = words.includes("--only") ? words[words.indexOf("--only") + 1] : undefined;
const runtimes = words.filter((word, at) => !word.startsWith("--") && words[at - 1] !== "--only").map(runtime);

const rows = new Map<string, { readonly verdict: Verdict; readonly problems: (string | undefined)[] }>();
for (const which of runtimes) {
  for (const scene of SCENES) {
    if (only !== undefined && !scene.name.includes(only)) continue;
    for (const verdict of await scene.play(which)) {
      const key = `${scene.name}\n${verdict.section}\n${verdict.says}`;
      const row = rows.get(key) ?? { verdict, problems: [] };
      row.problems.push(verdict.problem);
      rows.set(key, row);
      if (showsFailures && verdict.problem !== undefined) {
        console.log(
          `${which.name}: ${scene.name}: ${verdict.section} ${verdict.level}: ${verdict.says}\n    ${verdict.problem}`,
        );
      }
    }
  }
}

const held = runtimes.map((_, at) => [...rows.values()].filter(({ problems }) => problems[at] === undefined).length);
const total = rows.size;
if (showsFailures) {
  console.log(runtimes.map(({ name }, at) => `${name}: ${held[at]} of ${total}`).join(", "));
} else {
  console.log(`| section | level | sentence | ${runtimes.map(({ name }) => name).join(" | ")} |`);
  console.log(`| --- | --- | --- |${" --- |".repeat(runtimes.length)}`);
  console.log(`| all | | ${total} sentences | ${held.join(" | ")} |`);
  for (const { verdict, problems } of rows.values()) {
    const marks = problems.map((problem) => (problem === undefined ? "yes" : "no")).join(" | ");
    console.log(`| ${verdict.section} | ${verdict.level} | ${verdict.says.replaceAll("|", "\\|")} | ${marks} |`);
  }
}
process.exit(0);
