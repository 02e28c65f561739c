/** kernel Documentation/admin-guide/cgroup-v2.rst, cgroup.freeze (kernel 5.2): part of every cgroup, no controller. */
import { CtrError, ENODEV, ENOENT, isErrno } from "../../errors/error.ts";
import { O_RDONLY, open, POLLPRI, poll, pread } from "../../sys/fd.ts";
import { parsePairs, writeControl } from "../file.ts";

const DECODER = new TextDecoder();

/** As v1's freeze; the kernel tells when all are stopped. */
export function freeze(directory: string, timeoutMs: number): void {
  writeControl(directory, "cgroup.freeze", 1, "freeze");
  if (waitForEvent(directory, "frozen", 1, timeoutMs)) return;
  thaw(directory);
  throw new CtrError("unavailable", `freeze: a process could not be stopped within ${timeoutMs} ms`);
}

/** Lets the processes run again; fine if they do. */
export function thaw(directory: string): void {
  writeControl(directory, "cgroup.freeze", 0, "thaw");
}

/**
 * Waits until a line of cgroup.events has the value; false after `timeoutMs`. A change wakes poll(2) with POLLPRI. Nobody is
 * in a cgroup that is gone: systemd removes an empty scope by itself, also while its file is open here.
 */
export function waitForEvent(
  directory: string,
  key: "frozen" | "populated",
  value: number,
  timeoutMs: number,
): boolean {
  try {
    return waitFor(directory, key, value, timeoutMs);
  } catch (error) {
    if (key === "populated" && value === 0 && isErrno(error, ENOENT, ENODEV)) return true;
    throw error;
  }
}

function waitFor(directory: string, key: string, value: number, timeoutMs: number): boolean {
  const deadline = Bun.nanoseconds() + timeoutMs * 1e6;
  using events = open(`${directory}/cgroup.events`, O_RDONLY);
  const buffer = new Uint8Array(512);
  for (;;) {
    // kernfs reports what changed since this very descriptor was last read.
    const size = pread(events.number, buffer, 0);
    if (parsePairs(DECODER.decode(buffer.subarray(0, size))).get(key) === value) return true;
    const leftMs = Math.ceil((deadline - Bun.nanoseconds()) / 1e6);
    if (leftMs <= 0) return false;
    poll(events.number, POLLPRI, leftMs);
  }
}
