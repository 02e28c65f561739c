import { expect, test } from "bun:test";
import { cpuMask, schedulingOf } from "./scheduling.ts";

const PROCESS = { user: { uid: 0, gid: 0 }, args: ["x"], cwd: "/" };

test.each([
  ["0", [1]],
  ["0-1", [3]],
  ["1,3", [10]],
  ["8", [0, 1]],
  ["0-9", [255, 3]],
])("scheduling: the CPUs %s", (list, bytes) => {
  expect([...cpuMask("f", list)].slice(0, bytes.length)).toEqual(bytes);
});

test.each(["", "x", "1-0", "-1", "1024", "0,,1", "0x1"])("scheduling: %p is no list of CPUs", (list) => {
  expect(() => cpuMask("f", list)).toThrow(`f: ${JSON.stringify(list)} is no list of CPUs`);
});

test("scheduling: what the specification does not have is refused by its field", () => {
  expect(() => schedulingOf({ ...PROCESS, scheduler: { policy: "SCHED_X" } })).toThrow("process.scheduler.policy");
  expect(() => schedulingOf({ ...PROCESS, scheduler: { policy: "toString" } })).toThrow("process.scheduler.policy");
  expect(() => schedulingOf({ ...PROCESS, scheduler: { policy: "SCHED_RR", flags: ["X"] } })).toThrow(
    "process.scheduler.flags",
  );
  expect(() => schedulingOf({ ...PROCESS, ioPriority: { class: "X", priority: 0 } })).toThrow(
    "process.ioPriority.class",
  );
});

test("scheduling: an I/O priority is its class and its level", () => {
  expect(schedulingOf({ ...PROCESS, ioPriority: { class: "IOPRIO_CLASS_BE", priority: 5 } })).toEqual({
    ioPriority: 0x4005,
  });
});
