import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { forgetStart, notedStarts, noteStart } from "./starting.ts";

let state = "";
beforeEach(() => {
  state = `${mkdtempSync("/tmp/ctr-starting-")}/state`;
});
afterEach(() => rmSync(`${state}/..`, { recursive: true }));

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

test("an entry nobody of ours wrote is an error", () => {
  noteStart(state, first);
  symlinkSync("/etc/passwd", `${state}/starting/x`);
  expect(() => notedStarts(state)).toThrow("not an entry of the journal");
});
