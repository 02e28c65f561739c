import { expect, test } from "bun:test";
import { parseRestartPolicy } from "./restart-policy.ts";
import { nextDelayMs, wantsRestart, wantsRestore } from "./restart-rule.ts";

const end = { exitCode: 0, restartCount: 0, wasStoppedByHand: false };
const failed = { ...end, exitCode: 1 };
const stopped = { ...failed, wasStoppedByHand: true };

test.each([
  ["no", failed, false, false],
  ["always", end, true, true],
  ["always", failed, true, true],
  ["always", stopped, false, true],
  ["unless-stopped", end, true, true],
  ["unless-stopped", stopped, false, false],
  ["on-failure", end, false, false],
  ["on-failure", { ...failed, restartCount: 99 }, true, true],
  ["on-failure", stopped, false, false],
  ["on-failure:2", { ...failed, restartCount: 1 }, true, true],
  ["on-failure:2", { ...failed, restartCount: 2 }, false, false],
] as const)("%s after %p: now %p, after a boot %p", (text, how, now, afterBoot) => {
  const policy = parseRestartPolicy(text);
  expect(wantsRestart(policy, how)).toBe(now);
  expect(wantsRestore(policy, how)).toBe(afterBoot);
});

test("the delay doubles up to a minute, and begins anew after a long run", () => {
  const delays: number[] = [];
  for (let last = 0; delays.length < 12; delays.push(last)) last = nextDelayMs(last, 50);
  expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
  expect(nextDelayMs(60_000, 9_999)).toBe(60_000);
  expect(nextDelayMs(60_000, 10_000)).toBe(100);
});
