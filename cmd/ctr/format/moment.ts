/** Moments as a user types them: RFC 3339 (whole or in part), seconds since 1970, or a duration before now. */
import { CtrError } from "../../../internal/errors/error.ts";

const UNIT_NS: { readonly [unit: string]: number } = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
const DURATION = /^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;
const DATE = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d{2}:\d{2})?$/i;

/** Nanoseconds since 1970. `name` is the flag. Throws `invalid`, in Docker's words. */
export function parseMoment(name: string, value: string, nowMs: number): bigint {
  if (DURATION.test(value)) return BigInt(nowMs) * 1_000_000n - durationNs(value);
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

/** Go's time.ParseDuration. */
function durationNs(text: string): bigint {
  let ns = 0;
  for (const [, amount = "0", unit = "s"] of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    ns += Number(amount) * (UNIT_NS[unit] ?? 0);
  }
  return BigInt(Math.round(text.startsWith("-") ? -ns : ns));
}
