/** What a layer of 2 GB takes in memory, whatever is done with it: at most 150 MB. */
import { afterAll, describe, expect } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { binary, needs } from "../lib/needs.ts";
import { scratchDirectory, startRegistry } from "../lib/registry.ts";
import { test as kernelTest } from "../lib/test.ts";

const test = kernelTest.if(needs("ctr"));
const LIMIT = 150e6;
const SIZE = 2 * 2 ** 30;

const engine = tempEngine();
const directory = scratchDirectory("large");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs a command of ctr, whose status must be 0, and checks the most memory it had. */
async function withinLimit(...operands: readonly string[]): Promise<void> {
  const child = Bun.spawn([binary(), ...operands], {
    env: { ...process.env, ...engine.env, DOCKER_CONFIG: "/nonexistent" },
    stdout: "ignore",
    stderr: "pipe",
  });
  const [stderr, status] = await Promise.all([child.stderr.text(), child.exited]);
  expect({ operands, stderr, status }).toEqual({ operands, stderr: "", status: 0 });
  const peak = child.resourceUsage()?.maxRSS ?? 0;
  console.error(`${operands[0]} of 2 GB: peak ${Math.round(peak / 1e6)} MB`);
  expect(peak).toBeGreaterThan(1e6);
  expect(peak).toBeLessThan(LIMIT);
}

describe("a layer of 2 GB", () => {
  const tar = `${directory}/root.tar`;
  const saved = `${directory}/saved.tar`;

  test("import, save, push, load, pull, export, commit", async () => {
    // An eighth of it cannot be compressed: that is what takes time, not memory. What is on the wire is 2 GB in
    // registry.test.ts.
    const make = `mkdir ${directory}/root && cd ${directory}/root && {
      openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c ${SIZE / 8}; head -c ${(SIZE / 8) * 7} /dev/zero
      } > file && tar -cf ${tar} . && rm -r ${directory}/root`;
    expect(Bun.spawnSync(["sh", "-c", make], { stderr: "ignore" }).exitCode).toBe(0);
    const registry = await startRegistry();
    const name = `${registry.host}/large:1`;

    await withinLimit("import", tar, name);
    await withinLimit("save", "-o", saved, name);
    await withinLimit("push", name);
    await engine.ok("system", "prune", "-af");
    await withinLimit("load", "-i", saved);
    rmSync(saved);
    await engine.ok("system", "prune", "-af");
    await withinLimit("pull", name);
    const id = await engine.ok("create", name, "true");
    await withinLimit("export", "-o", saved, id);
    rmSync(saved);
    await engine.ok("cp", tar, `${id}:/again`);
    rmSync(tar);
    await withinLimit("commit", id, "committed");
    await engine.ok("rm", id);
    await engine.ok("system", "prune", "-af");
    expect(readdirSync(`${engine.root}/layers`)).toEqual([]);
  }, 600_000);
});
