/** docs/performance.md: each bench keeps its own table there, between two marks, with the machine it was measured on. */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

const PAGE = `${import.meta.dir}/../../docs/performance.md`;

/** Replaces a section's table if `--write` was given. `engines` are the versions measured beside ours. */
export function keepTable(section: string, table: string, engines: readonly string[]): void {
  if (!process.argv.includes("--write")) return;
  const page = readFileSync(PAGE, "utf8");
  const [begin, end] = [`<!-- ${section} -->`, `<!-- /${section} -->`];
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < 0) throw new Error(`docs/performance.md has no section ${section}`);
  const processors = cpus();
  const day = new Date().toISOString().slice(0, 10);
  const commit = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"]).stdout.toString().trim();
  const machine = `${processors.length} × ${processors[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}`;
  const measured = `Measured ${day} at commit ${commit}: ${machine}. ${engines.join("; ")}.`;
  writeFileSync(PAGE, `${page.slice(0, from)}${begin}\n${table}\n\n${measured}\n${page.slice(to)}`);
}

/** The first line of `--version`. */
export function versionOf(command: string): string {
  const shown = Bun.spawnSync([command, "--version"]).stdout.toString().split("\n")[0] ?? "";
  return shown.replace(/,.*/, "");
}
