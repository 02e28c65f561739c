/** A flag that says how many: at least one. */
import { UsageError } from "./flags.ts";

/** Undefined if the flag (one with the hint `uint`) was not given; throws UsageError for 0. */
export function countFlag(value: string | undefined, what: string): number | undefined {
  if (value === undefined) return undefined;
  const count = Number(value);
  if (count < 1) throw new UsageError(`invalid ${what}: must be greater than 0`, 125);
  return count;
}
