import { describe, expect, test } from "bun:test";
import { formatBar, formatLine, Rate, shortTime } from "./progress-line.ts";

describe("a bar", () => {
  test.each([
    [0, 100, 10, "[>         ]       0B/100B"],
    [55, 100, 10, "[=====>    ]      55B/100B"],
    [100, 100, 10, "[==========]     100B/100B"],
    [200, 100, 10, "[==========]     200B/100B"],
    [1_500_000, 3_000_000, 4, "[==> ]    1.5MB/3MB"],
    [5, 0, 10, "5B/0B"],
    [5, 10, 0, "5B/10B"],
  ])("%d of %d in %d columns", (current, total, width, expected) => {
    expect(formatBar({ current, total }, width)).toBe(expected);
  });
});

describe("a line", () => {
  const rate = new Rate();
  rate.update(0, 0);
  rate.update(1_000_000, 1000);
  const bytes = { current: 1_000_000, total: 11_000_000 };
  const head = "0123456789ab: Downloading";

  test("has bar, bytes, rate and remaining time where there is room, and is never wider", () => {
    const line = formatLine(head, bytes, rate, 119);
    expect(line).toMatch(/^0123456789ab: Downloading \[====> {45}\] {6}1MB\/11MB {2}1MB\/s {2}10s$/);
    for (let width = 1; width < 130; width++)
      expect(formatLine(head, bytes, rate, width).length).toBeLessThanOrEqual(width);
  });

  test("loses the time, then the rate, then the bar as it narrows", () => {
    const has = (width: number) => {
      const line = formatLine(head, bytes, rate, width);
      return [/\[/, /\/s/, /10s$/].map((pattern) => pattern.test(line));
    };
    const seen = Array.from({ length: 120 }, (_, at) => has(119 - at)).map(String);
    expect([...new Set(seen)]).toEqual(["true,true,true", "true,true,false", "true,false,false", "false,false,false"]);
    expect(formatLine(head, bytes, rate, 35)).toBe(`${head} 1MB/11MB`);
  });
});

describe("a rate", () => {
  test("follows the last seconds, and begins anew when bytes are sent again", () => {
    const rate = new Rate();
    expect(rate.perSecond).toBeUndefined();
    rate.update(5_000_000, 0); // what was there before is no speed
    expect(rate.perSecond).toBeUndefined();
    rate.update(6_000_000, 1000);
    expect(rate.perSecond).toBe(1_000_000);
    for (let second = 2; second < 30; second++) rate.update(6_000_000 + (second - 1) * 100_000, second * 1000);
    expect(rate.perSecond ?? 0).toBeCloseTo(100_000, -3);
    const before = rate.perSecond;
    rate.update(0, 31_000);
    expect(rate.perSecond).toBe(before);
  });
});

test.each([
  [0.4, "0s"],
  [59.4, "59s"],
  [60, "1m00s"],
  [3599.6, "1h00m"],
  [3599, "59m59s"],
  [7265, "2h01m"],
  [-5, "0s"],
])("%d seconds is %s", (seconds, expected) => {
  expect(shortTime(seconds)).toBe(expected);
});
