/** The same sources give the same bytes, wherever they lie. */
import { afterAll, expect } from "bun:test";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const top = resolve(import.meta.dir, "../..");
const home = mkdtempSync("/tmp/ctr-build-");
afterAll(() => rmSync(home, { recursive: true, force: true }));

// The dependencies are copied too: behind a link their paths would be other ones, seen from the sources.
const SOURCES = [
  ...["build.ts", "package.json", "tsconfig.json", "csrc", "cmd", "internal"],
  ...["node_modules/citty", "node_modules/msgpackr"],
];

function copy(from: string, to: string): void {
  for (const name of SOURCES) cpSync(`${from}/${name}`, `${to}/${name}`, { recursive: true });
}

/** Builds what lies there; the digest of the executable. */
function build(directory: string): string {
  const built = Bun.spawnSync([process.execPath, "build.ts"], { cwd: directory, stdout: "ignore", stderr: "pipe" });
  if (built.exitCode !== 0) throw new Error(`the build failed: ${built.stderr.toString()}`);
  const hashed = Bun.spawnSync(["sha256sum", `${directory}/dist/ctr`]);
  return hashed.stdout.toString().slice(0, 64);
}

test.if(needs("ctr"))("build: two copies of the sources give the same dist/ctr", () => {
  copy(top, `${home}/a`);
  copy(`${home}/a`, `${home}/elsewhere/b`);
  const first = build(`${home}/a`);
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  expect(build(`${home}/elsewhere/b`)).toBe(first);
});
