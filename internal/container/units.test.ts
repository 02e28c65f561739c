import { expect, test } from "bun:test";
import { parseCpus, parseInteger, parseSize, parseSizeOrUnlimited } from "./units.ts";

test.each([
  ["0", 0],
  ["512", 512],
  ["1b", 1],
  ["2k", 2048],
  ["6m", 6 << 20],
  ["64MB", 64 << 20],
  ["64MiB", 64 << 20],
  ["1.5g", 1.5 * 2 ** 30],
  ["1T", 2 ** 40],
  ["1e9", 1e9],
  [".5k", 512],
])("units: %s is %p bytes", (text, bytes) => {
  expect(parseSize("memory", text)).toBe(bytes);
});

test.each(["", "x", "-1", ".", "1mm", "1e", "9999999p", "0x10"])("units: %p is no size", (text) => {
  expect(() => parseSize("memory", text)).toThrow(`invalid size: '${text}'`);
});

test("units: -1 is no limit where that is allowed", () => {
  expect(parseSizeOrUnlimited("memory-swap", "-1")).toBe(-1);
  expect(parseSizeOrUnlimited("memory-swap", "1m")).toBe(1 << 20);
});

test.each([
  ["1", 1e9],
  ["0.5", 5e8],
  [".25", 25e7],
  ["1.000000001", 1000000001],
  ["3/2", 15e8],
  ["1e-1", 1e8],
  ["-1", -1e9],
])("units: %s CPUs", (text, nano) => {
  expect(parseCpus("cpus", text)).toBe(nano);
});

test.each([
  ["x", "failed to parse x as a rational number"],
  ["", "failed to parse  as a rational number"],
  ["1/0", "failed to parse 1/0 as a rational number"],
  ["0.0000000001", "value is too precise"],
])("units: %p CPUs are refused", (text, why) => {
  expect(() => parseCpus("cpus", text)).toThrow(why);
});

test("units: whole numbers only", () => {
  expect(parseInteger("pids-limit", "-1")).toBe(-1);
  expect(() => parseInteger("pids-limit", "1.5")).toThrow("invalid syntax");
});
