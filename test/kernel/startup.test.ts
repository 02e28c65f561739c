/** Start-up is a feature: a ceiling under which it stays, with room for a busy machine. `npm run bench` has the numbers. */
import { expect } from "bun:test";
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
