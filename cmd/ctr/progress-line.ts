/** One line of a transfer on a terminal: bar, bytes, rate, remaining time, as far as they fit. */
import { humanSize } from "../../internal/image/human-size.ts";

export interface Bytes {
  readonly current: number;
  readonly total: number;
}

/** Bytes a second, the last seconds counting most. */
export class Rate {
  #perSecond: number | undefined;
  #last: { readonly bytes: number; readonly atMs: number } | undefined;

  update(bytes: number, nowMs: number): void {
    // What was here already (a continued download) or is sent again is no speed.
    if (this.#last === undefined || bytes < this.#last.bytes) {
      this.#last = { bytes, atMs: nowMs };
      return;
    }
    const seconds = (nowMs - this.#last.atMs) / 1000;
    if (seconds < 0.2) return;
    const now = (bytes - this.#last.bytes) / seconds;
    // Half of what is older than a second and a half is forgotten.
    const weight = 1 - 0.5 ** (seconds / 1.5);
    this.#perSecond = this.#perSecond === undefined ? now : this.#perSecond + weight * (now - this.#perSecond);
    this.#last = { bytes, atMs: nowMs };
  }

  /** Undefined until there is something to tell. */
  get perSecond(): number | undefined {
    return this.#perSecond;
  }
}

/** `[====>     ]  1.2MB/3.4MB`, as Docker draws it; `width` is the bar's inside. */
export function formatBar({ current, total }: Bytes, width: number): string {
  const sizes = `${humanSize(current).padStart(8)}/${humanSize(total)}`;
  if (width < 1 || total <= 0) return sizes.trimStart();
  const filled = Math.min(width, Math.floor((Math.min(current, total) / total) * width));
  const bar = filled >= width ? "=".repeat(width) : `${"=".repeat(filled)}>`.padEnd(width);
  return `[${bar}] ${sizes}`;
}

const MAX_BAR = 50;
const MIN_BAR = 10;

/** The line in at most `width` columns: on a narrow terminal first the time goes, then the rate, then the bar. */
export function formatLine(head: string, bytes: Bytes | undefined, rate: Rate, width: number): string {
  if (bytes === undefined) return head.slice(0, width);
  const sizes = formatBar(bytes, 0);
  const { perSecond } = rate;
  const speed = perSecond === undefined ? "" : `  ${humanSize(perSecond)}/s`;
  const left =
    perSecond === undefined || perSecond < 1 ? "" : `  ${shortTime((bytes.total - bytes.current) / perSecond)}`;
  for (const tail of [`${speed}${left}`, speed, ""]) {
    // Brackets, the blanks around the bar, and sizes as wide as they get.
    const room = Math.min(MAX_BAR, width - head.length - tail.length - 4 - 8 - sizes.length);
    if (room >= MIN_BAR) return `${head} ${formatBar(bytes, room)}${tail}`.slice(0, width);
  }
  return `${head} ${sizes}`.slice(0, width);
}

/** `5s`, `3m20s`, `2h05m`. */
export function shortTime(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
}
