import { expect, test } from "bun:test";
import { humanBinarySize, humanDuration, humanSize } from "./duration.ts";

const [MINUTE, HOUR, DAY] = [60, 3600, 86400];

test.each([
  [0.2, "Less than a second"],
  [1.9, "1 second"],
  [59, "59 seconds"],
  [MINUTE, "About a minute"],
  [2 * MINUTE, "2 minutes"],
  [59 * MINUTE + 59, "59 minutes"],
  [HOUR, "About an hour"],
  [1.4 * HOUR, "About an hour"],
  [1.5 * HOUR, "2 hours"],
  [47 * HOUR, "47 hours"],
  [48 * HOUR, "2 days"],
  [13 * DAY, "13 days"],
  [14 * DAY, "2 weeks"],
  [59 * DAY, "8 weeks"],
  [60 * DAY, "2 months"],
  [729 * DAY, "24 months"],
  [731 * DAY, "2 years"],
])("a duration of %p seconds is %p", (seconds, text) => {
  expect(humanDuration(seconds)).toBe(text);
});

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
