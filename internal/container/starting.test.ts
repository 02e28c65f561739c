import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { forgetStart, notedStarts, noteStart } from "./starting.ts";

let home = "";
let state = "";
beforeEach(() => {
  home = mkdtempSync("/tmp/ctr-starting-");
  state = `${home}/state`;
});
afterEach(() => rmSync(home, { recursive: true }));

const first = { id: "a".repeat(64), keeper: { pid: 12, startTime: 345 }, cgroupParent: "" };
const second = { id: "b".repeat(64), keeper: { pid: 13, startTime: 346 }, cgroupParent: "/other parent/x" };

test("without a journal nothing is noted", () => {
  expect(notedStarts(state)).toEqual([]);
});

test("what is noted is read back until it is forgotten, however often", () => {
  noteStart(state, first);
  noteStart(state, second);
  expect(notedStarts(state).toSorted((a, b) => a.keeper.pid - b.keeper.pid)).toEqual([first, second]);
  forgetStart(state, first.id);
  forgetStart(state, first.id);
  expect(notedStarts(state)).toEqual([second]);
});

test("a link that is no entry has no keeper", () => {
  noteStart(state, first);
  symlinkSync("/etc/passwd", `${state}/starting/x`);
  expect(notedStarts(state)).toContainEqual({ id: "x", keeper: { pid: 0, startTime: 0 }, cgroupParent: "" });
});
