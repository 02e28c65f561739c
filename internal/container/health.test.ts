import { expect, test } from "bun:test";
import { afterCheck, healthPlan, mergeHealthcheck, nextCheckMs, STARTING } from "./health.ts";
import type { ContainerConfig, Health } from "./record.ts";

const config = (fields: Partial<ContainerConfig>) => fields as ContainerConfig;
const result = (ExitCode: number) => ({ Start: "", End: "", ExitCode, Output: "" });

const plan = healthPlan(config({ Healthcheck: { Test: ["CMD", "true"], Retries: 2, StartPeriod: 3e9 } }));
if (plan === undefined) throw new Error("there is a plan");

test.each([
  ["nothing", undefined],
  ["no test", {}],
  ["NONE", { Test: ["NONE"] }],
  ["an empty test", { Test: [] }],
])("%s is no check", (_name, check) => {
  expect(healthPlan(config(check === undefined ? {} : { Healthcheck: check }))).toBeUndefined();
});

test("Docker's defaults", () => {
  expect(healthPlan(config({ Healthcheck: { Test: ["CMD-SHELL", "exit 0"], Interval: 0 } }))).toEqual({
    args: ["/bin/sh", "-c", "exit 0"],
    intervalMs: 30_000,
    timeoutMs: 30_000,
    retries: 3,
    startPeriodMs: 0,
    startIntervalMs: 5000,
  });
});

test("the image's shell runs CMD-SHELL", () => {
  const check = { Healthcheck: { Test: ["CMD-SHELL", "x y"] }, Shell: ["/bin/bash", "-ec"] };
  expect(healthPlan(config(check))?.args).toEqual(["/bin/bash", "-ec", "x y"]);
});

test("unhealthy after as many failures in a row as retries, healthy after one success", () => {
  let health: Health = STARTING;
  const seen = [1, 1, 1, 0, 1].map((code) => {
    health = afterCheck(plan, health, result(code), 5000);
    return `${health.Status} ${health.FailingStreak}`;
  });
  expect(seen).toEqual(["starting 1", "unhealthy 2", "unhealthy 3", "healthy 0", "healthy 1"]);
});

test("in its start period a container cannot fail, but succeed", () => {
  const failed = afterCheck(plan, STARTING, result(1), 2999);
  expect(failed).toEqual({ Status: "starting", FailingStreak: 0, Log: [result(1)] });
  const healthy = afterCheck(plan, failed, result(0), 100);
  expect(afterCheck(plan, healthy, result(1), 200).FailingStreak).toBe(1);
});

test("the last five results are kept", () => {
  let health: Health = STARTING;
  for (let code = 0; code < 7; code++) health = afterCheck(plan, health, result(code), 0);
  expect(health.Log.map(({ ExitCode }) => ExitCode)).toEqual([2, 3, 4, 5, 6]);
});

test("checks come faster while it starts", () => {
  expect(nextCheckMs(plan, STARTING, 2999)).toBe(5000);
  expect(nextCheckMs(plan, STARTING, 3000)).toBe(30_000);
  expect(nextCheckMs(plan, { ...STARTING, Status: "healthy" }, 0)).toBe(30_000);
});

test.each([
  ["nothing", undefined, undefined, undefined],
  ["the image's", { Test: ["CMD", "a"], Retries: 4 }, undefined, { Test: ["CMD", "a"], Retries: 4 }],
  ["a field of the user's", { Test: ["CMD", "a"] }, { Interval: 5e9 }, { Test: ["CMD", "a"], Interval: 5e9 }],
  ["--no-healthcheck", { Test: ["CMD", "a"], Retries: 4 }, { Test: ["NONE"] }, { Test: ["NONE"], Retries: 4 }],
] as const)("merged: %s", (_name, image, user, merged) => {
  expect(mergeHealthcheck(image, user)).toEqual(merged as never);
});

test("less than a millisecond is refused", () => {
  expect(() => mergeHealthcheck(undefined, { Test: ["CMD", "a"], Timeout: 999_999 })).toThrow(
    "Timeout in Healthcheck cannot be less than 1ms",
  );
});
