/** Moments as a user types them: RFC 3339 (whole or in part), seconds since 1970, or a duration before now. */
import { CtrError } from "../errors/error.ts";
import { parseGoDuration } from "./go-duration.ts";

const DATE = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d{2}:\d{2})?$/i;

/** Nanoseconds since 1970. `name` is the flag. Throws `invalid`, in Docker's words. */
export function parseMoment(name: string, value: string, nowMs: number): bigint {
  // "0" is the second 0 of 1970.
  const ago = value === "0" ? undefined : parseGoDuration(value);
  if (ago !== undefined) return BigInt(nowMs) * 1_000_000n - BigInt(ago);
  const date = DATE.exec(value);
  if (date !== null) {
    const [, day, hours = "00", minutes = "00", seconds = "00", fraction = "", zone = ""] = date;
    // Without a zone the time is the user's own, a bare date too.
    const ms = Date.parse(`${day}T${hours}:${minutes}:${seconds}${zone.toUpperCase()}`);
    if (!Number.isNaN(ms)) return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
  }
  const [, seconds, fraction = ""] = /^(-?\d{1,12})(?:\.(\d{1,9}))?$/.exec(value) ?? [];
  if (seconds !== undefined) return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
  throw new CtrError(
    "invalid",
    `invalid value for "${name}": failed to parse value as time or duration: ${JSON.stringify(value)}`,
  );
}
