import { expect, test } from "bun:test";
import { humanBinarySize, humanSize } from "./human-size.ts";

test.each([
  [0, "0B"],
  [999, "999B"],
  [1000, "1kB"],
  [1_980_000, "1.98MB"],
  [123_456_789, "123MB"],
  [5_500_000_000, "5.5GB"],
])("a size of %p bytes is %p", (bytes, text) => {
  expect(humanSize(bytes)).toBe(text);
});

test("memory is in units of 1024", () => {
  expect(humanBinarySize(2_076_180_480)).toBe("1.934GiB");
});
