/** The runtime's log, in the two forms that runc has and its callers parse; and with it the only writes to the terminal. */
import { AT_FDCWD, type Fd, O_APPEND, O_CREAT, O_WRONLY, openat, writeAll } from "../../internal/sys/fd.ts";

const STDOUT = 1;
const STDERR = 2;

export type Level = "debug" | "warning" | "error";

export interface Log {
  write(level: Level, message: string): void;
  /** What the command ends with: the log has it, and standard error. */
  fatal(message: string): void;
}

export interface LogOptions {
  /** Standard error if absent. */
  readonly path?: string;
  readonly isJson: boolean;
  readonly isDebug: boolean;
}

/** Opens the log. Throws when its file cannot be written. */
export function openLog({ path, isJson, isDebug }: LogOptions): Log {
  let file: Fd | undefined;
  if (path !== undefined) file = openat(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0o644);
  const write = (level: Level, message: string) => {
    if (level === "debug" && !isDebug) return;
    const line = isJson ? jsonLine(level, message) : textLine(level, message);
    writeAll(file === undefined ? STDERR : file.number, encoder.encode(line), path);
  };
  return {
    write,
    fatal(message) {
      write("error", message);
      if (file !== undefined) printError(message);
    },
  };
}

const encoder = new TextEncoder();

function jsonLine(level: Level, msg: string): string {
  return `${JSON.stringify({ level, msg, time: now() })}\n`;
}

function textLine(level: Level, message: string): string {
  return `time="${now()}" level=${level} msg=${JSON.stringify(message)}\n`;
}

/** RFC 3339, in seconds. */
function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}

/** Text on standard output, as it is. */
export function print(text: string): void {
  writeAll(STDOUT, encoder.encode(text));
}

/** A line on standard error. */
export function printError(text: string): void {
  writeAll(STDERR, encoder.encode(`${text}\n`));
}
