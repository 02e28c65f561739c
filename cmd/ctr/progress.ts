/**
 * How pull and push tell what they do: lines redrawn in place on a terminal, plain lines otherwise, or JSON lines as
 * Docker's API has them.
 */
import type { TransferEvent } from "../../internal/image/transfer.ts";
import { getWindowSize, isTerminal } from "../../internal/sys/terminal.ts";
import { harmless } from "./fail.ts";
import { UsageError } from "./flags.ts";
import { writeOut } from "./output.ts";
import { formatBar, formatLine, Rate } from "./progress-line.ts";

/** The flag of commands that transfer images. */
export const PROGRESS_FLAG = {
  type: "string",
  default: "auto",
  description: 'Set type of progress output ("auto", "tty", "plain", "json", "quiet")',
} as const;

export type ProgressMode = "tty" | "plain" | "json" | "quiet";

export interface Progress extends Disposable {
  event(event: TransferEvent): void;
}

/** The mode a command's flags ask for; `auto` looks whether `fd` is a terminal. */
export function progressMode(flags: { readonly progress: string; readonly quiet: boolean }, fd: number): ProgressMode {
  if (flags.quiet) return "quiet";
  switch (flags.progress) {
    case "auto":
      return isTerminal(fd) && process.env["TERM"] !== "dumb" ? "tty" : "plain";
    case "tty":
    case "plain":
    case "json":
    case "quiet":
      return flags.progress;
    default:
      throw new UsageError(
        `invalid argument ${JSON.stringify(flags.progress)} for "--progress" flag: must be one of "auto", "tty", "plain", "json" or "quiet"`,
        125,
      );
  }
}

/** Shows events on `fd` until disposed. */
export function openProgress(mode: ProgressMode, fd: number): Progress {
  switch (mode) {
    case "quiet":
      return { event: () => {}, [Symbol.dispose]: () => {} };
    case "plain":
      return { event: (event) => printPlain(event, fd), [Symbol.dispose]: () => {} };
    case "json":
      return jsonProgress(fd);
    case "tty":
      return new TerminalProgress(fd);
    default:
      return mode satisfies never;
  }
}

function write(fd: number, text: string): void {
  writeOut(fd, new TextEncoder().encode(text));
}

/** Only what changes its kind is worth a line that stays. */
function printPlain(event: TransferEvent, fd: number): void {
  if (event.progress === undefined) write(fd, `${textOf(event)}\n`);
}

function textOf({ status, layer, tag }: TransferEvent): string {
  const about = layer ?? tag;
  return harmless(about === undefined ? status : `${about}: ${status}`);
}

const JSON_INTERVAL_MS = 100;

/** `{"status":"Downloading","progressDetail":{"current":1,"total":2},"progress":"[=> ] 1B/2B","id":"…"}` */
function jsonProgress(fd: number): Progress {
  const printed = new Map<string, number>();
  return {
    event({ status, layer, tag, progress }) {
      const id = layer ?? tag;
      if (progress !== undefined) {
        const nowMs = performance.now();
        const isLast = progress.current >= progress.total;
        if (!isLast && nowMs - (printed.get(id ?? "") ?? Number.NEGATIVE_INFINITY) < JSON_INTERVAL_MS) return;
        printed.set(id ?? "", nowMs);
      }
      const shown = progress === undefined ? {} : { progress: formatBar(progress, 50) };
      // Docker has an empty detail wherever there is a layer.
      const detail = layer === undefined ? {} : { progressDetail: progress ?? {} };
      write(fd, `${JSON.stringify({ status, ...detail, ...shown, ...(id === undefined ? {} : { id }) })}\n`);
    },
    [Symbol.dispose]: () => {},
  };
}

/** How often the terminal is drawn anew. */
const FRAME_MS = 80;

interface Line {
  status: string;
  progress: TransferEvent["progress"];
  readonly rate: Rate;
}

class TerminalProgress implements Progress {
  readonly #fd: number;
  /** One line per layer, in the order they came. */
  readonly #lines = new Map<string, Line>();
  /** The lengths of the lines that are on the screen and will be drawn over. */
  #drawn: readonly number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  event(event: TransferEvent): void {
    if (event.layer === undefined) {
      this.#finish();
      write(this.#fd, `${textOf(event)}\n`);
      return;
    }
    const line = this.#lines.get(event.layer) ?? { status: "", progress: undefined, rate: new Rate() };
    line.status = event.status;
    line.progress = event.progress;
    if (event.progress !== undefined) line.rate.update(event.progress.current, performance.now());
    this.#lines.set(event.layer, line);
    this.#timer ??= setTimeout(() => this.#draw(), FRAME_MS);
  }

  [Symbol.dispose](): void {
    this.#finish();
  }

  /** Leaves every line as it is now; what comes is below. */
  #finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#lines.size > 0) this.#draw(true);
    this.#lines.clear();
    this.#drawn = [];
  }

  #draw(isLast = false): void {
    this.#timer = undefined;
    const { rows, columns } = sizeOf(this.#fd);
    const width = Math.max(1, columns - 1);
    const entries = [...this.#lines];
    const texts = (isLast ? entries : visible(entries, rows - 1)).map(([layer, line]) =>
      formatLine(harmless(`${layer}: ${line.status}`), line.progress, line.rate, width),
    );
    if (!isLast && texts.length < entries.length) {
      const done = entries.filter(([, { status }]) => isDone(status)).length;
      texts.push(`${done} of ${entries.length} layers complete`.slice(0, width));
    }
    // A narrower window has wrapped what is on the screen: that many rows up is where it begins.
    const above = this.#drawn.reduce((sum, length) => sum + Math.max(1, Math.ceil(length / columns)), 0);
    const up = above === 0 ? "" : `\x1b[${Math.min(above, rows)}A`;
    write(this.#fd, `\r${up}\x1b[J${texts.map((text) => `${text}\n`).join("")}`);
    this.#drawn = texts.map((text) => text.length);
  }
}

function sizeOf(fd: number): { readonly rows: number; readonly columns: number } {
  const size = getWindowSize(fd);
  // A terminal that does not know its size says 0.
  return { rows: size?.rows || 24, columns: size?.columns || 80 };
}

const DONE = ["Pull complete", "Already exists", "Pushed", "Layer already exists"];

function isDone(status: string): boolean {
  return DONE.includes(status) || status.startsWith("Mounted from ");
}

/** As many as there is room for with a line below them: what is going on first, then what is to come. */
function visible(entries: readonly [string, Line][], rows: number): readonly [string, Line][] {
  if (entries.length <= rows) return entries;
  const room = Math.max(1, rows - 1);
  const rank = (line: Line) => (line.progress !== undefined ? 0 : isDone(line.status) ? 2 : 1);
  const chosen = new Set(entries.toSorted(([, a], [, b]) => rank(a) - rank(b)).slice(0, room));
  return entries.filter((entry) => chosen.has(entry));
}
