/** kernel Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst */
import { CtrError } from "../../errors/error.ts";
import { poll } from "../../sys/fd.ts";
import type { Controller } from "../controller.ts";
import { readControl, writeControl } from "../file.ts";

const STATE = "freezer.state";

export const freezer: Controller = {
  name: "freezer",
  isAlwaysMade: true,
  isAsked: () => false,
  apply() {},
};

/**
 * Stops every process below; returns when all are stopped. Throws `unavailable` after `timeoutMs` (a process in the
 * kernel's uninterruptible sleep), with everything running again.
 */
export function freeze(directory: string, timeoutMs: number): void {
  const deadline = Bun.nanoseconds() + timeoutMs * 1e6;
  for (let attempt = 0; ; attempt++) {
    // Written again each time: a process forked meanwhile is stopped by the next write.
    writeControl(directory, STATE, "FROZEN", "freeze");
    if (readControl(directory, STATE).trim() === "FROZEN") return;
    if (Bun.nanoseconds() > deadline) break;
    // There is no event for this in v1: 1 ms is the kernel's own unit here, first a few tries without a wait.
    if (attempt > 4) poll(-1, 0, 1);
  }
  thaw(directory);
  throw new CtrError("unavailable", `freeze: a process could not be stopped within ${timeoutMs} ms`);
}

/** Lets the processes run again; fine if they do. */
export function thaw(directory: string): void {
  writeControl(directory, STATE, "THAWED", "thaw");
}
