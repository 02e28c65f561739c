/**
 * The driver `json-file`: one JSON object a line, as Docker writes them (moby daemon/logger/jsonfilelog), so that what
 * reads Docker's files reads these. Text only: what is no UTF-8 is replaced, byte by byte.
 */
import { type Fd, lseek, pread } from "../../sys/fd.ts";
import { LineSplitter, type LogMessage, MAX_MESSAGE_BYTES } from "./lines.ts";
import { LOG_STDERR, type LogStream } from "./record.ts";
import { cutTo, openForAppend, RotatingFile, type Rotation } from "./rotating-file.ts";
import type { LogSink } from "./sink.ts";

const SEEK_END = 2;
const NEWLINE = 10;

export class JsonFileSink implements LogSink {
  readonly #file: RotatingFile;
  readonly #lines = new LineSplitter();
  readonly #attributes: string;
  #text = "";

  /** `attributes` are the same in every line; undefined when none were asked for. */
  constructor(path: string, rotation: Rotation, attributes?: { readonly [name: string]: string }) {
    this.#file = new RotatingFile(path, openWholeLines(path), rotation);
    this.#attributes = attributes === undefined ? "" : `,"attrs":${jsonObject(attributes)}`;
  }

  write(stream: LogStream, bytes: Uint8Array, timeNs: bigint): void {
    // The rest of a line that has begun, whole lines, and the beginning of the next one.
    const first = this.#lines.isInside(stream) ? bytes.indexOf(NEWLINE) + 1 : 0;
    this.#lines.push(stream, bytes.subarray(0, first), timeNs, this.#take);
    const last = Math.max(first, bytes.lastIndexOf(NEWLINE) + 1);
    const isDone =
      last > first && !this.#lines.isInside(stream) && this.#takeLines(stream, bytes.subarray(first, last), timeNs);
    this.#lines.push(stream, bytes.subarray(isDone ? last : first), timeNs, this.#take);
    this.#flush();
  }

  /** Whole lines of text at once, which nearly all are; false for what has to be looked at line by line. */
  #takeLines(stream: LogStream, bytes: Uint8Array, timeNs: bigint): boolean {
    const text = decodeLines(bytes);
    if (text === undefined) return false;
    const [start, end] = [lineStart, lineEnd(stream, "\\n", this.#attributes, timeNs)];
    const lines = escapeLines(text).split("\n");
    this.#text += start + lines.slice(0, -1).join(end + start) + end;
    return true;
  }

  endStreams(): Promise<void> | undefined {
    this.#lines.flush(this.#take);
    this.#flush();
    return this.#file.isBusy ? this.#file.settled : undefined;
  }

  /** A follower of these files sees the end of the supervisor instead. */
  endRun(): void {}

  readonly #take = (message: LogMessage): void => {
    this.#text += jsonLine(message, this.#attributes);
  };

  /** Writes what has come together; a file is full when it holds `maxBytes` or more, and lines are never cut. */
  #flush(): void {
    if (this.#text === "") return;
    let rest: Uint8Array = encoder.encode(this.#text);
    this.#text = "";
    while (rest.length > 0) {
      const room = this.#file.maxBytes - this.#file.size;
      if (room <= 0 && !this.#file.rotate()) break;
      const left = this.#file.maxBytes - this.#file.size;
      const end = rest.length <= left ? rest.length : rest.indexOf(NEWLINE, left - 1) + 1;
      this.#file.write(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
    if (rest.length > 0) this.#file.write(rest);
  }

  get isBusy(): boolean {
    return this.#file.isBusy;
  }

  close(): void {
    this.#file.close();
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function jsonLine({ stream, bytes, timeNs, partial }: LogMessage, attributes: string): string {
  const end = partial === undefined || partial.isLast ? "\\n" : "";
  return lineStart + jsonText(bytes) + lineEnd(stream, end, attributes, timeNs);
}

const lineStart = '{"log":"';

function lineEnd(stream: LogStream, newline: string, attributes: string, timeNs: bigint): string {
  const name = stream === LOG_STDERR ? "stderr" : "stdout";
  return `${newline}","stream":"${name}"${attributes},"time":"${goTime(timeNs)}"}\n`;
}

/** A character is three bytes at most for each of its UTF-16 units: a line of so many fits in one message. */
const SHORT_LINE = Math.floor(MAX_MESSAGE_BYTES / 3);

/** The text of whole lines; undefined if it is no UTF-8, or one of them may be too long for a message. */
function decodeLines(bytes: Uint8Array): string | undefined {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    // Not UTF-8, which the decoder tells by throwing.
    return undefined;
  }
  for (let at = 0; text.length - at > SHORT_LINE; ) {
    const newline = text.lastIndexOf("\n", at + SHORT_LINE);
    if (newline < at) return undefined;
    at = newline + 1;
  }
  return text;
}

/** The inside of a JSON string: what Docker's encoder escapes, as it does. */
function jsonText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    // Not UTF-8, which the decoder tells by throwing.
    return lossyJsonText(bytes);
  }
  return escapeText(text);
}

const ALL_ESCAPED = /["\\<>&\u2028\u2029\x00-\x1f]/g;

function escapeText(text: string): string {
  return text.replace(ALL_ESCAPED, (character) => {
    switch (character) {
      case '"':
        return '\\"';
      case "\\":
        return "\\\\";
      case "\n":
        return "\\n";
      case "\r":
        return "\\r";
      default:
        return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
    }
  });
}

/** What is usual in output, and how it is escaped; `json` is how much longer JSON.stringify makes it. */
const USUAL: readonly { readonly character: string; readonly escaped: string; readonly json: number }[] = [
  { character: "\\", escaped: "\\\\", json: 1 },
  { character: '"', escaped: '\\"', json: 1 },
  { character: "\t", escaped: "\\u0009", json: 1 },
  { character: "\r", escaped: "\\r", json: 1 },
  { character: "\u001b", escaped: "\\u001b", json: 5 },
  { character: "<", escaped: "\\u003c", json: 0 },
  { character: ">", escaped: "\\u003e", json: 0 },
  { character: "&", escaped: "\\u0026", json: 0 },
  { character: "\u2028", escaped: "\\u2028", json: 0 },
  { character: "\u2029", escaped: "\\u2029", json: 0 },
];

/**
 * The same for lines, whose newlines stay. Without a regular expression, which this process runs slowly (it has no
 * compiler): where JSON.stringify finds nothing else to escape there is nothing else.
 */
function escapeLines(text: string): string {
  let escaped = text;
  let jsonLength = text.length + 2;
  for (const { character, escaped: replacement, json } of USUAL) {
    const before = escaped.length;
    escaped = escaped.replaceAll(character, replacement);
    jsonLength += (json * (escaped.length - before)) / (replacement.length - 1);
  }
  const newlines = text.split("\n").length - 1;
  if (JSON.stringify(text).length === jsonLength + newlines) return escaped;
  return text.split("\n").map(escapeText).join("\n");
}

/** Go's way with bytes that are no UTF-8: each of them is one U+FFFD. */
function lossyJsonText(bytes: Uint8Array): string {
  let text = "";
  let start = 0;
  for (let at = 0; at < bytes.length; ) {
    const size = runeBytes(bytes, at);
    if (size > 0) {
      at += size;
      continue;
    }
    text += `${escapeText(decoder.decode(bytes.subarray(start, at)))}\\ufffd`;
    at++;
    start = at;
  }
  return text + escapeText(decoder.decode(bytes.subarray(start)));
}

/** How many bytes the character at `at` has; 0 if none begins there (RFC 3629 section 4). */
function runeBytes(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + size > bytes.length) return 0;
  const second = bytes[at + 1] ?? 0;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let next = 2; next < size; next++) if (((bytes[at + next] ?? 0) & 0xc0) !== 0x80) return 0;
  return size;
}

/** An object with its names in order, as Go writes maps. */
function jsonObject(values: { readonly [name: string]: string }): string {
  const pairs = Object.keys(values)
    .sort()
    .map((name) => `"${escapeText(name)}":"${escapeText(values[name] ?? "")}"`);
  return `{${pairs.join(",")}}`;
}

let lastMs = -1n;
let lastSecond = "";

/** RFC 3339 with as many decimals as it takes (Go's RFC3339Nano), UTC. */
export function goTime(timeNs: bigint): string {
  const seconds = timeNs / 1_000_000_000n;
  if (seconds !== lastMs) {
    lastMs = seconds;
    lastSecond = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  }
  const decimals = String(timeNs % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return decimals === "" ? `${lastSecond}Z` : `${lastSecond}.${decimals}Z`;
}

/** Opens the file for appending, without the half line that a killed supervisor may have left. */
function openWholeLines(path: string): Fd {
  const fd = openForAppend(path);
  try {
    const size = lseek(fd.number, 0, SEEK_END);
    cutTo(fd, endOfLastLine(fd.number, size), size);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

function endOfLastLine(fd: number, size: number): number {
  const buffer = new Uint8Array(64 << 10);
  for (let end = size; end > 0; ) {
    const from = Math.max(0, end - buffer.length);
    const block = buffer.subarray(0, end - from);
    pread(fd, block, from);
    const newline = block.lastIndexOf(NEWLINE);
    if (newline >= 0) return from + newline + 1;
    end = from;
  }
  return 0;
}
