/** Durations as Docker prints them (go-units). */

const MINUTE = 60;
const HOUR = 60 * MINUTE;

/** `About a minute`, `5 minutes`, `2 weeks`: without "ago". */
export function humanDuration(seconds: number): string {
  const whole = Math.trunc(seconds);
  if (whole < 1) return "Less than a second";
  if (whole === 1) return "1 second";
  if (whole < MINUTE) return `${whole} seconds`;
  const minutes = Math.trunc(seconds / MINUTE);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.trunc(seconds / HOUR + 0.5);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 14) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 60) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(Math.trunc(seconds / HOUR) / 24 / 365)} years`;
}

/** How long ago a moment was: `5 minutes ago`. Milliseconds since 1970. */
export function humanAgo(thenMs: number, nowMs: number): string {
  return `${humanDuration((nowMs - thenMs) / 1000)} ago`;
}

/** Go's zero time, which is what nobody said. */
const NEVER_MS = Date.parse("0001-01-01T00:00:00Z");

/** As `humanAgo`; nothing for a moment that nobody knows. */
export function knownAgo(thenMs: number, nowMs: number): string {
  return thenMs === NEVER_MS ? "" : humanAgo(thenMs, nowMs);
}
