import { expect, test } from "bun:test";
import { durationFault, formatGoDuration, parseGoDuration } from "./go-duration.ts";

test.each([
  ["0", 0],
  ["1ns", 1],
  ["1.5us", 1500],
  ["2µs", 2000],
  ["500ms", 5e8],
  ["1m30s", 90e9],
  ["-1.5h", -5400e9],
  ["+.5s", 5e8],
] as const)("%s is %d ns", (text, ns) => {
  expect(parseGoDuration(text)).toBe(ns);
});

test.each([
  ["5", 'time: missing unit in duration "5"'],
  ["", 'time: invalid duration ""'],
  ["1d", 'time: invalid duration "1d"'],
  ["s", 'time: invalid duration "s"'],
  ["1s 2s", 'time: invalid duration "1s 2s"'],
])("%p is none", (text, fault) => {
  expect(parseGoDuration(text)).toBeUndefined();
  expect(durationFault(text)).toBe(fault);
});

test.each([
  [1e6, "1ms"],
  [300e6, "300ms"],
  [1.5e9, "1.5s"],
  [30e9, "30s"],
  [90e9, "1m30s"],
  [3600e9, "1h0m0s"],
  [3723.25e9, "1h2m3.25s"],
])("%d nanoseconds are written %s", (ns, text) => {
  expect(formatGoDuration(ns)).toBe(text);
  expect(parseGoDuration(text)).toBe(ns);
});
