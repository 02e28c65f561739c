import { expect, test } from "bun:test";
import { waitForEvent } from "./freezer.ts";

test("nobody is in a cgroup that is gone", () => {
  expect(waitForEvent("/sys/fs/cgroup/nosuch", "populated", 0, 10)).toBe(true);
  expect(() => waitForEvent("/sys/fs/cgroup/nosuch", "frozen", 1, 10)).toThrow();
});
