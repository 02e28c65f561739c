/** The kernel's list format: `0-3,8` (cpuset(7)). */
import { CtrError } from "../errors/error.ts";

// More than any kernel is built for; a bound for what a user types.
const MAX_NUMBER = 8191;

/** The numbers of a list. Throws `invalid`, in Docker's words. */
export function parseCpuList(list: string, what: "cpus" | "mems" = "cpus"): ReadonlySet<number> {
  const numbers = new Set<number>();
  for (const part of list.trim().split(",")) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part.trim());
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || last < first || last > MAX_NUMBER) {
      throw new CtrError("invalid", `invalid value ${list} for cpuset ${what}`);
    }
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return numbers;
}

/** Throws `invalid`, in Docker's words, unless every wanted number is there. */
export function checkSet(what: "CPUs" | "memory nodes", wanted: string, available: string): void {
  const there = parseCpuList(available);
  for (const number of parseCpuList(wanted, what === "CPUs" ? "cpus" : "mems")) {
    if (there.has(number)) continue;
    const message = `Requested ${what} are not available - requested ${wanted}, available: ${available.trim()}`;
    throw new CtrError("invalid", message);
  }
}
