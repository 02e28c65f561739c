import { afterEach, beforeEach, expect, test } from "bun:test";
import { linkSync, mkdirSync, mkdtempSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, open, openat } from "../sys/fd.ts";
import { mkdirat, removeTree } from "../sys/file.ts";
import { treeUsage } from "./usage.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync("/dev/shm/ctr-usage-");
});
afterEach(() => removeTree(AT_FDCWD, directory));

test("files count with their length, links and names once, holes not at all", () => {
  mkdirSync(`${directory}/a/b`, { recursive: true });
  writeFileSync(`${directory}/a/file`, "12345");
  writeFileSync(`${directory}/a/b/file`, "123");
  linkSync(`${directory}/a/file`, `${directory}/a/b/same`);
  symlinkSync("/etc/passwd", `${directory}/a/link`);
  writeFileSync(`${directory}/holes`, "");
  truncateSync(`${directory}/holes`, 1 << 30);
  expect(treeUsage(directory)).toBe(8);
  expect(treeUsage(`${directory}/a/b/file`)).toBe(3);
  expect(treeUsage(`${directory}/nothing`)).toBe(0);
});

// A container makes one in a moment, and everybody's `system df` looks at it.
test("a tree deeper than descriptors and functions go", () => {
  const depth = 30_000;
  let at = open(directory, O_RDONLY | O_DIRECTORY);
  for (let level = 0; level < depth; level++) {
    mkdirat(at.number, "d", 0o755);
    const next = openat(at.number, "d", O_RDONLY | O_DIRECTORY);
    if (level % 1000 === 0) writeFileSync(`/proc/self/fd/${at.number}/file`, "1234567890");
    at.close();
    at = next;
  }
  at.close();
  expect(treeUsage(directory)).toBe((depth / 1000) * 10);
}, 30_000);
