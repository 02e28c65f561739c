/**
 * What an engine shows of images that were loaded and imported into it: run by test/kernel/image-inspect.test.ts with
 * ctr and, beside a dockerd, with docker. The archives are given; what is shown is printed as JSON.
 */
import { binary } from "./needs.ts";

export interface Shown {
  readonly inspected: { readonly [name: string]: unknown };
  readonly histories: { readonly [name: string]: readonly string[] };
}

function run(...words: readonly string[]): string {
  const ran = Bun.spawnSync([binary(), ...words], { stdin: "ignore" });
  if (ran.exitCode !== 0) throw new Error(`${words.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString();
}

const names: string[] = [];
for (const archive of process.argv.slice(2)) {
  for (const line of run("load", "-i", archive).trim().split("\n")) {
    const name = /^Loaded image: (.*)$/.exec(line)?.[1];
    if (name !== undefined) names.push(name);
  }
}
const inspected: { [name: string]: unknown } = {};
const histories: { [name: string]: readonly string[] } = {};
for (const name of names) {
  inspected[name] = JSON.parse(run("image", "inspect", name))[0];
  histories[name] = [
    "json",
    "table {{.ID}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    "{{.CreatedAt}} {{.CreatedSince}}",
  ].flatMap((format) => [
    run("history", "--format", format, name),
    run("history", "--no-trunc", "--human=false", "--format", format, name),
  ]);
}
for (const name of names) {
  const format = "{{.ID}} {{.CreatedAt}} {{.CreatedSince}} {{.Size}} {{.VirtualSize}} {{.Digest}}";
  histories[`${name} listed`] = [run("images", "--no-trunc", "--format", format, name), run("images", "-q", name)];
}
run("rmi", ...names);
console.log(JSON.stringify({ inspected, histories }));
