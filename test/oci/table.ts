/**
 * Plays the conformance suite with several runtimes and prints what does not hold.
 *
 *   bun test/oci/table.ts --failed | --rows [--only TEXT] RUNTIME...
 *
 * --only takes a regular expression of the cases' names. --rows prints each verdict as it comes, as a line of JSON after
 * "row ": for who puts several tables together (tables.ts).
 */
import { runtime } from "./harness.ts";
import type { Verdict } from "./scene.ts";
import { SCENES } from "./scenes.ts";

const words = process.argv.slice(2);
const showsFailures = words.includes("--failed");
const showsRows = words.includes("--rows");
const only = words.includes("--only") ? new RegExp(words[words.indexOf("--only") + 1] ?? "") : undefined;
const names = words.filter((word, at) => !word.startsWith("--") && words[at - 1] !== "--only");
const runtimes = names.map(runtime);

const rows = new Map<string, { readonly verdict: Verdict; readonly problems: (string | undefined)[] }>();
for (const [at, which] of runtimes.entries()) {
  for (const scene of SCENES) {
    if (only?.test(scene.name) === false) continue;
    for (const verdict of await scene.play(which)) {
      const key = `${scene.name}\n${verdict.section}\n${verdict.says}`;
      const row = rows.get(key) ?? { verdict, problems: [] };
      row.problems.push(verdict.problem);
      if (showsRows) console.log(`row ${JSON.stringify({ runtime: names[at], scene: scene.name, ...verdict })}`);
      rows.set(key, row);
      if (showsFailures && verdict.problem !== undefined) {
        console.log(
          `${names[at]}: ${scene.name}: ${verdict.section} ${verdict.level}: ${verdict.says}\n    ${verdict.problem}`,
        );
      }
    }
  }
}

const held = runtimes.map((_, at) => [...rows.values()].filter(({ problems }) => problems[at] === undefined).length);
const total = rows.size;
if (showsRows) console.log("all rows");
else console.log(names.map((name, at) => `${name}: ${held[at]} of ${total}`).join(", "));
process.exit(0);
