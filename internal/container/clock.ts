/** Times as they are recorded. */

/** Now, RFC 3339 with nanoseconds, UTC. */
export function nowRfc3339(): string {
  // The wall clock's milliseconds, with the rest of the monotonic one: enough to keep order within one process.
  const ms = performance.timeOrigin + performance.now();
  const whole = Math.floor(ms);
  const nanoseconds = Math.floor((ms - whole) * 1e6);
  return new Date(whole).toISOString().replace("Z", `${String(nanoseconds).padStart(6, "0")}Z`);
}
