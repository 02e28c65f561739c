/** Start-up is a feature: a ceiling under which it stays, with room for a busy machine. `npm run bench` has the numbers. */
import { expect } from "bun:test";
import { chmodSync } from "node:fs";
import { withPart } from "../../scripts/helper-part.ts";
import { alignedForLargePages } from "../../scripts/large-pages.ts";
import { tempEngine } from "../lib/engine.ts";
import { binary, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

/** The least processor time (user and system, ms) of a few goes: what the command itself needs, whoever else is busy. */
function processorTime(...operands: readonly string[]): number {
  const times = Array.from({ length: 10 }, () => {
    const child = Bun.spawnSync([binary(), ...operands], { env: { ...process.env, ...engine.env } });
    expect(child.exitCode).toBe(0);
    return Number(child.resourceUsage?.cpuTime.total ?? 0n) / 1000;
  });
  return Math.min(...times);
}

test.if(needs("ctr"))("--version needs at most 15 ms of processor time", () => {
  expect(processorTime("--version")).toBeLessThan(15);
});

test.if(needs("ctr"))("ps needs at most 25 ms of processor time", () => {
  expect(processorTime("ps")).toBeLessThan(25);
});

test.if(needs("ctr"))("the command of a run needs at most 40 ms of processor time", () => {
  expect(processorTime("run", "--rm", "--network", "none", image, "true")).toBeLessThan(40);
});

/** The loaded segments as readelf(1) prints them. */
function segments(
  path: string,
): readonly { readonly offset: number; readonly address: number; readonly size: number; readonly flags: string }[] {
  const text = Bun.spawnSync(["readelf", "-lW", path]).stdout.toString();
  const lines = text.matchAll(/^ +LOAD +(0x\S+) (0x\S+) 0x\S+ (0x\S+) 0x\S+ ([RWE ]{3})/gm);
  return [...lines].map(([, offset, address, size, flags = ""]) => ({
    offset: Number(offset),
    address: Number(address),
    size: Number(size),
    flags,
  }));
}

test.if(needs("ctr"))(
  "the executable lies on disk as it lies in memory, so that 2 MiB of it can be mapped at once",
  () => {
    const loaded = segments(binary()).filter(({ size }) => size >= 0x20_0000);
    expect(loaded.length).toBeGreaterThan(2);
    for (const { offset, address } of loaded) expect((address - offset) % 0x20_0000).toBe(0);
  },
);

test.if(needs("ctr"))("the C helper is a part of the executable, and no part can be written to and executed", () => {
  const loaded = segments(binary());
  expect(loaded.find(({ address }) => address === 0x1000_0000)?.flags).toBe("R E");
  for (const { flags } of loaded) expect(flags).not.toBe("RWE");
});

test.if(needs("ctr"))(
  "a helper is not put into a program that has no addresses of its own, or has one already",
  async () => {
    const part = await Bun.file(`${import.meta.dir}/../../build/helper`).bytes();
    expect(() => withPart(new Uint8Array(100), part)).toThrow("not an ELF64 executable");
    const anywhere = (await Bun.file("/bin/true").bytes()).slice();
    expect(() => withPart(anywhere, part)).toThrow("no addresses of its own");
    const ours = await Bun.file(binary()).bytes();
    expect(() => withPart(ours, part)).toThrow("no room");
  },
);

test("a program that is moved for large pages has the same segments, and runs", async () => {
  const before = await Bun.file("/bin/true").bytes();
  const moved = alignedForLargePages(before);
  const path = `${engine.root}/moved`;
  await Bun.write(path, moved);
  chmodSync(path, 0o755);
  expect(Bun.spawnSync([path]).exitCode).toBe(0);
  const [old, now] = [segments("/bin/true"), segments(path)];
  expect(now.map(({ address, size }) => [address, size])).toEqual(old.map(({ address, size }) => [address, size]));
  for (const [at, { offset, address, size }] of now.entries()) {
    expect((address - offset) % 0x20_0000).toBe(0);
    const from = old[at]?.offset ?? -1;
    const isHead = offset === 0;
    // The head holds the places of the others, which are new.
    if (!isHead) expect(moved.subarray(offset, offset + size)).toEqual(before.subarray(from, from + size));
  }
  expect(Bun.spawnSync(["readelf", "-SW", path]).stderr.toString()).toBe("");
  expect(() => alignedForLargePages(new Uint8Array(100))).toThrow("not an ELF64 executable");
});
