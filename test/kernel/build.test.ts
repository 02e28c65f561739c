/** The same sources give the same bytes, wherever they lie. */
import { afterAll, expect } from "bun:test";
import { cpSync, readdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { testHome } from "../lib/home.ts";
import { needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const top = resolve(import.meta.dir, "../..");
const home = testHome("build");
afterAll(() => rmSync(home, { recursive: true, force: true }));

// The dependencies are copied too: behind a link their paths would be other ones, seen from the sources.
const SOURCES = [
  ...["build.ts", "package.json", "package-lock.json", "tsconfig.json", "csrc", "cmd", "internal", "scripts"],
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

test.if(needs("ctr"))("build: dist/ctr.spdx.json names what is inside, with checksums that hold", async () => {
  const sbom = await Bun.file(`${top}/dist/ctr.spdx.json`).json();
  const lock = await Bun.file(`${top}/package-lock.json`).json();
  const hashed = (file: string) => Bun.spawnSync(["sha256sum", file], { cwd: top }).stdout.toString().slice(0, 64);
  const [ctr, ...parts] = sbom.packages;
  expect(ctr.checksums).toEqual([{ algorithm: "SHA256", checksumValue: hashed("dist/ctr") }]);
  expect(parts.map(({ name }: { name: string }) => name)).toEqual(["@oven/bun-linux-x64", "citty", "msgpackr"]);
  for (const { name, versionInfo, checksums } of parts) {
    const { version, integrity } = lock.packages[`node_modules/${name}`];
    expect(versionInfo).toBe(version);
    expect(Buffer.from(checksums[0].checksumValue, "hex").toString("base64")).toBe(integrity.slice("sha512-".length));
  }
  for (const { fileName, checksums } of sbom.files) expect(checksums[0].checksumValue).toBe(hashed(fileName));
  expect(sbom.files).toHaveLength(readdirSync(`${top}/csrc`).length);
  const known = new Set([...sbom.packages, ...sbom.files, sbom].map(({ SPDXID }: { SPDXID: string }) => SPDXID));
  for (const { spdxElementId, relatedSpdxElement } of sbom.relationships) {
    expect([spdxElementId, relatedSpdxElement].filter((id) => !known.has(id))).toEqual([]);
  }
});

test.if(needs("ctr"))(
  "build: two copies of the sources give the same dist/ctr",
  () => {
    copy(top, `${home}/a`);
    copy(`${home}/a`, `${home}/elsewhere/b`);
    const first = build(`${home}/a`);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(build(`${home}/elsewhere/b`)).toBe(first);
  },
  120_000,
);
