/** Durations as Go reads them, and so the image configuration and Docker's flags: `1m30s`, `500ms`, `-1.5h`. */

const NS: { readonly [unit: string]: number } = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
const DURATION = /^([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)$/;

/** Nanoseconds (Go's time.ParseDuration); undefined for a text that is none. */
export function parseGoDuration(text: string): number | undefined {
  const [, sign = "", parts] = DURATION.exec(text) ?? [];
  if (parts === undefined) return undefined;
  let total = 0;
  for (const [, count, unit = ""] of parts.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/g))
    total += Number(count) * (NS[unit] ?? 0);
  return Math.round(sign === "-" ? -total : total);
}

/** The text of a duration of a millisecond or more, as Go writes it: `300ms`, `1.5s`, `1m30s`, `1h0m0s`. */
export function formatGoDuration(ns: number): string {
  if (ns < 1e9) return `${Math.round(ns / 1e6)}ms`;
  const minutes = Math.floor(ns / 60e9);
  const seconds = `${Math.round((ns - minutes * 60e9) / 1e6) / 1000}s`;
  if (minutes === 0) return seconds;
  return minutes < 60 ? `${minutes}m${seconds}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

/** What is wrong with a text that is none, in Go's words. */
export function durationFault(text: string): string {
  const why = /^[+-]?[\d.]+$/.test(text) ? "missing unit in duration" : "invalid duration";
  return `time: ${why} ${JSON.stringify(text)}`;
}
