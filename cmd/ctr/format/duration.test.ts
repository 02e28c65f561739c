import { expect, test } from "bun:test";
import { humanDuration } from "./duration.ts";

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
