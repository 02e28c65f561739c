/** Moments in the user's own time zone, as Go prints them. */

interface Parts {
  /** `2026-11-21` */
  readonly date: string;
  /** `12:00:00` */
  readonly time: string;
  /** `+01` and `00`. */
  readonly hours: string;
  readonly minutes: string;
  readonly isUtc: boolean;
}

function partsOf(ms: number): Parts {
  const moment = new Date(ms);
  const offset = -moment.getTimezoneOffset();
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map((part) =>
    String(part).padStart(2, "0"),
  );
  const shown = new Date(ms + offset * 60_000).toISOString();
  return {
    date: shown.slice(0, 10),
    time: shown.slice(11, 19),
    hours: `${offset < 0 ? "-" : "+"}${hours ?? "00"}`,
    minutes: minutes ?? "00",
    isUtc: offset === 0,
  };
}

/** `2026-11-21 12:00:00 +0000 UTC`: Go's Time.String, without fractions. Milliseconds since 1970. */
export function goTime(ms: number): string {
  const { date, time, hours, minutes, isUtc } = partsOf(ms);
  const zone = isUtc ? "UTC" : (/\(([A-Z]{2,5})\)/.exec(new Date(ms).toString())?.[1] ?? hours);
  return `${date} ${time} ${hours}${minutes} ${zone}`;
}

/** `2026-11-21T12:00:00Z`: Go's RFC3339. Milliseconds since 1970. */
export function rfc3339(ms: number): string {
  const { date, time, hours, minutes, isUtc } = partsOf(ms);
  return `${date}T${time}${isUtc ? "Z" : `${hours}:${minutes}`}`;
}
