import { afterEach, beforeEach, expect, test } from "bun:test";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { placeholderLayer } from "./placeholders.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync("/tmp/ctr-placeholders-");
});
afterEach(() => rmSync(root, { recursive: true }));

const WHOLE = [
  ".dockerenv",
  "dev",
  "dev/console",
  "dev/pts",
  "dev/shm",
  "etc",
  "etc/hostname",
  "etc/hosts",
  "etc/mtab",
  "etc/resolv.conf",
  "proc",
  "sys",
];

const names = (layer: string) => (readdirSync(layer, { recursive: true }) as string[]).sort();

test("the layer has Docker's places, whatever the caller's umask is", () => {
  const before = process.umask(0o077);
  const layer = placeholderLayer(root);
  process.umask(before);
  expect(names(layer)).toEqual(WHOLE);
  expect(readlinkSync(`${layer}/etc/mtab`)).toBe("/proc/mounts");
  for (const name of ["", ...WHOLE].filter((path) => path !== "etc/mtab")) {
    expect([name, (lstatSync(`${layer}/${name}`).mode & 0o7777).toString(8)]).toEqual([name, "755"]);
  }
});

test("made once: a second call changes nothing", () => {
  const layer = placeholderLayer(root);
  const { mtimeMs, ino } = statSync(`${layer}/etc`);
  expect(placeholderLayer(root)).toBe(layer);
  expect(statSync(`${layer}/etc`)).toMatchObject({ mtimeMs, ino });
});

test("what was cut off is finished", () => {
  mkdirSync(`${root}/placeholders/etc`, { recursive: true });
  expect(names(placeholderLayer(root))).toEqual(WHOLE);
});
