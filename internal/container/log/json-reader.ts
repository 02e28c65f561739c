/** Reads files of Docker's json-file format: this engine's, and those that Docker wrote. */
import { CtrError } from "../../errors/error.ts";
import { pread } from "../../sys/fd.ts";
import { fstat } from "../../sys/file.ts";
import { formatDetails } from "./attributes.ts";
import { type FileReader, FROM_THE_START, type LogStart, type TakeBytes, type TakeLine } from "./reader.ts";
import { LOG_STDERR, LOG_STDOUT, type LogStream } from "./record.ts";

const BUFFER_BYTES = 1 << 20;
const NEWLINE = 10;
/** Of one line of the file: 16 KiB of log, each byte six characters at worst, and its attributes. */
const MAX_ENTRY_BYTES = 8 << 20;

interface Entry {
  readonly log: string;
  readonly stream: LogStream;
  readonly time: string;
  readonly attrs: unknown;
}

export class JsonReader implements FileReader {
  /** These files do not say. */
  readonly endOfRunNs = undefined;
  #fd = -1;
  #position = 0;
  /** Streams in the middle of a line that is too long for one entry. */
  readonly #unfinished = new Set<LogStream>();
  readonly #times = new TimeParser();
  #attributes: string | undefined;
  #lastAttributes: string | undefined;

  use(fd: number, position: number): void {
    this.#fd = fd;
    this.#position = position;
  }

  get attributes(): string | undefined {
    return this.#attributes;
  }

  copy(take: TakeBytes): void {
    let text = "";
    let stream: LogStream = LOG_STDOUT;
    const flush = () => {
      if (text !== "") take(stream, encoder.encode(text));
      text = "";
    };
    this.#position = readEntries(this.#fd, this.#position, Number.POSITIVE_INFINITY, (entry) => {
      if (entry.stream !== stream || text.length >= BUFFER_BYTES) flush();
      stream = entry.stream;
      text += entry.log;
      return true;
    });
    flush();
  }

  lines(take: TakeLine): void {
    this.#position = readEntries(this.#fd, this.#position, Number.POSITIVE_INFINITY, (entry) => {
      const { stream, log } = entry;
      const startsLine = !this.#unfinished.has(stream);
      if (log.endsWith("\n")) this.#unfinished.delete(stream);
      else this.#unfinished.add(stream);
      this.#readAttributes(entry.attrs);
      take(stream, encoder.encode(log), this.#times.parse(entry.time), startsLine);
      return true;
    });
  }

  #readAttributes(attrs: unknown): void {
    if (attrs === undefined) {
      this.#attributes = undefined;
      return;
    }
    const text = JSON.stringify(attrs);
    if (text === this.#lastAttributes) return;
    this.#lastAttributes = text;
    this.#attributes = formatDetails(isObject(attrs) ? attrs : {});
  }

  /** Nothing is kept: an unfinished line has been given out as far as it is there. */
  flush(): void {
    this.#unfinished.clear();
  }

  startOfTail(fd: number, count: number): LogStart {
    const { size } = fstat(fd);
    for (let window = 64 << 10; ; window *= 4) {
      const from = window >= size ? 0 : nextEntry(fd, size - window, size);
      let lines = 0;
      let fragments = 0;
      const inside = new Set<LogStream>();
      // Before the first entry of each stream nothing is known of it: a line may have begun there.
      const unknown = new Set<LogStream>(from === 0 ? [] : [LOG_STDOUT, LOG_STDERR]);
      readEntries(fd, from, size, ({ stream, log }) => {
        if (!inside.has(stream)) lines++;
        if (unknown.has(stream)) fragments = lines;
        if (log.endsWith("\n")) {
          inside.delete(stream);
          unknown.delete(stream);
        } else inside.add(stream);
        return true;
      });
      const skipLines = Math.max(0, lines - count);
      if (from === 0 || (lines >= count && skipLines >= fragments)) {
        return { position: from, skipLines, lines: lines - skipLines, skipFragments: [] };
      }
    }
  }

  /** The entries are in the order of their times: halves the file until the place is found. */
  startOfSince(fd: number, sinceNs: bigint): LogStart {
    const { size } = fstat(fd);
    let [low, high] = [0, size];
    while (high - low > BUFFER_BYTES) {
      const middle = nextEntry(fd, low + Math.floor((high - low) / 2), high);
      let timeNs: bigint | undefined;
      readEntries(fd, middle, high, ({ time }) => {
        timeNs = this.#times.parse(time);
        return false;
      });
      if (timeNs === undefined || timeNs >= sinceNs) high = Math.min(middle, low + Math.floor((high - low) / 2));
      else low = middle;
    }
    return { ...FROM_THE_START, position: low };
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null;
}

/** Where the first entry at or after an offset begins, at most `end`. */
function nextEntry(fd: number, offset: number, end: number): number {
  if (offset === 0) return 0;
  const buffer = new Uint8Array(64 << 10);
  // From the byte before: an entry may begin right here.
  for (let at = offset - 1; at < end; ) {
    const size = pread(fd, buffer, at);
    if (size === 0) return end;
    const newline = buffer.subarray(0, size).indexOf(NEWLINE);
    if (newline >= 0) return Math.min(end, at + newline + 1);
    at += size;
  }
  return end;
}

/** Visits the whole entries from an offset on, until `visit` returns false. Returns where the next one begins. */
function readEntries(fd: number, from: number, end: number, visit: (entry: Entry) => boolean): number {
  let buffer = new Uint8Array(BUFFER_BYTES);
  for (let position = from; ; ) {
    const size = Math.min(pread(fd, buffer, position), end - position);
    const whole = buffer.subarray(0, size).lastIndexOf(NEWLINE) + 1;
    if (whole === 0) {
      if (size < buffer.length) return position;
      if (buffer.length >= MAX_ENTRY_BYTES) throw damaged(position);
      buffer = new Uint8Array(buffer.length * 2);
      continue;
    }
    const text = decoder.decode(buffer.subarray(0, whole));
    for (let at = 0; at < text.length; ) {
      const newline = text.indexOf("\n", at);
      if (!visit(parseEntry(text.slice(at, newline), position))) return position;
      at = newline + 1;
    }
    position += whole;
  }
}

function parseEntry(line: string, position: number): Entry {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw damaged(position, error);
  }
  if (!isObject(value)) throw damaged(position);
  const { log = "", stream, time, attrs } = value;
  if (typeof log !== "string" || typeof time !== "string") throw damaged(position);
  return { log, stream: stream === "stderr" ? LOG_STDERR : LOG_STDOUT, time, attrs };
}

function damaged(position: number, cause?: unknown): CtrError {
  return new CtrError("internal", `the log is damaged near byte ${position}`, { cause });
}

const SECOND = "2026-11-21T12:00:00".length;

/** Times of RFC 3339: those of one second are read without a date. */
class TimeParser {
  #second = "";
  #secondNs = 0n;

  parse(time: string): bigint {
    const second = time.slice(0, SECOND);
    if (second !== this.#second) {
      const ms = Date.parse(`${second}Z`);
      if (Number.isNaN(ms)) throw new CtrError("internal", `the log is damaged: ${JSON.stringify(time)} is no time`);
      this.#second = second;
      this.#secondNs = BigInt(ms) * 1_000_000n;
    }
    const decimals = /^\.(\d{1,9})/.exec(time.slice(SECOND))?.[1] ?? "";
    return this.#secondNs + BigInt(decimals.padEnd(9, "0"));
  }
}
