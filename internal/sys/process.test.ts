import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hasEntries } from "./file.ts";
import { areAllRunning, processStartTime } from "./process.ts";

const home = mkdtempSync("/tmp/ctr-process-");
afterAll(() => rmSync(home, { recursive: true }));

const me = { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 };
const first = { pid: 1, startTime: processStartTime(1) ?? -1 };

test("a list of processes: every one is asked for, by pid and start time", () => {
  expect(areAllRunning([])).toBe(true);
  expect(areAllRunning([me, first, me])).toBe(true);
  expect(areAllRunning([me, { ...me, startTime: me.startTime + 1 }])).toBe(false);
  expect(areAllRunning([{ ...me, startTime: 0 }, me])).toBe(false);
  expect(areAllRunning([me, { pid: 4_194_304, startTime: 1 }])).toBe(false);
  expect(areAllRunning([{ pid: 0, startTime: 0 }])).toBe(false);
});

test("a process with brackets and blanks for a name is told by its start time, and not once it has ended", async () => {
  const path = `${home}/a) S 1 (b`;
  copyFileSync("/bin/sleep", path);
  await using child = Bun.spawn([path, "1000"]);
  const startTime = processStartTime(child.pid) ?? 0;
  expect(startTime).toBeGreaterThan(0);
  expect(areAllRunning([{ pid: child.pid, startTime }])).toBe(true);
  child.kill("SIGKILL");
  await child.exited;
  expect(areAllRunning([{ pid: child.pid, startTime }])).toBe(false);
});

test("a directory has something in it, or nothing, or is not there", () => {
  mkdirSync(`${home}/empty`);
  expect(hasEntries(`${home}/empty`)).toBe(false);
  expect(hasEntries(`${home}/none`)).toBe(false);
  writeFileSync(`${home}/empty/${"x".repeat(255)}`, "");
  expect(hasEntries(`${home}/empty`)).toBe(true);
  writeFileSync(`${home}/file`, "");
  expect(() => hasEntries(`${home}/file`)).toThrow("not a directory");
});
