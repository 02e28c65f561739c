import { expect, test } from "bun:test";
import { createDeadlines } from "./deadlines.ts";

test("deadlines: each in its time, none that was called off, and none left", async () => {
  using deadlines = createDeadlines();
  expect(deadlines.untilNext()).toBeUndefined();
  const { promise, resolve } = Promise.withResolvers<void>();
  const rung: string[] = [];
  deadlines.add(20, () => {
    rung.push("late");
    resolve();
  });
  const callOff = deadlines.add(5, () => rung.push("called off"));
  deadlines.add(1, () => rung.push("early"));
  expect(deadlines.untilNext()).toBeLessThanOrEqual(1);
  callOff();
  await promise;
  expect(rung).toEqual(["early", "late"]);
  expect(deadlines.untilNext()).toBeUndefined();
});

test("deadlines: one whose action takes away another that is due", async () => {
  using deadlines = createDeadlines();
  const { promise, resolve } = Promise.withResolvers<void>();
  const rung: number[] = [];
  const second = () => callOff();
  deadlines.add(0, () => {
    rung.push(1);
    second();
  });
  const callOff = deadlines.add(0, () => rung.push(2));
  deadlines.add(2, resolve);
  await promise;
  expect(rung).toEqual([1]);
});
