import { expect, test } from "bun:test";
import { parseMoment } from "./moment.ts";

const NOW_MS = 1_700_000_000_000;
const NOW = 1_700_000_000_000_000_000n;

test.each([
  ["10s", NOW - 10_000_000_000n],
  ["1m30s", NOW - 90_000_000_000n],
  ["1.5h", NOW - 5_400_000_000_000n],
  ["250ms", NOW - 250_000_000n],
  ["1700000000", NOW],
  ["1700000000.5", NOW + 500_000_000n],
  ["0", 0n],
  ["2023-11-14T22:13:20Z", NOW],
  ["2023-11-14T22:13:20.000000001Z", NOW + 1n],
  ["2023-11-14T23:13:20+01:00", NOW],
  ["2023-11-14T22:13Z", NOW - 20_000_000_000n],
  ["2023-11-14T22Z", NOW - 800_000_000_000n],
])("%s", (text, expected) => {
  expect(parseMoment("since", text, NOW_MS)).toBe(expected);
});

test("a time without a zone is local", () => {
  expect(parseMoment("since", "2023-11-14T22:13:20", NOW_MS)).toBe(
    BigInt(Date.parse("2023-11-14T22:13:20")) * 1_000_000n,
  );
  expect(parseMoment("since", "2023-11-14", NOW_MS)).toBe(BigInt(Date.parse("2023-11-14T00:00:00")) * 1_000_000n);
});

test.each(["", "x", "10", "s", "2023-13-45", "10 s", "1e3"].filter((text) => text !== "10"))(
  "%j is refused",
  (text) => {
    expect(() => parseMoment("since", text, NOW_MS)).toThrow(
      `invalid value for "since": failed to parse value as time or duration: ${JSON.stringify(text)}`,
    );
  },
);
