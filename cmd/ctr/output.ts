/**
 * The terminal: with `fail.ts` the only code that writes to it. Writes are synchronous and whole, so nothing is lost
 * when the process exits, and `process.stdout` (8 ms) is never touched.
 */
import { EAGAIN, EIO, EPIPE, isErrno } from "../../internal/errors/error.ts";
import { POLLOUT, poll, write } from "../../internal/sys/fd.ts";
import { layoutTable } from "./format/table.ts";

export const STDOUT = 1;
export const STDERR = 2;

/** 128 + SIGPIPE: what a program that is killed by the signal ends with; Bun ignores it. */
const PIPE_STATUS = 141;

const encoder = new TextEncoder();

/** Writes all of it. When nobody reads any more (EPIPE, a hung up terminal) the process ends quietly. */
export function writeOut(fd: number, bytes: Uint8Array): void {
  if (!tryWriteOut(fd, bytes)) process.exit(PIPE_STATUS);
}

/** Writes all of it; false when nobody reads any more. A non-blocking descriptor is waited for. */
export function tryWriteOut(fd: number, bytes: Uint8Array): boolean {
  let rest = bytes;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(write(fd, rest));
    } catch (error) {
      if (isErrno(error, EPIPE, EIO)) return false;
      if (!isErrno(error, EAGAIN)) throw error;
      // Somebody (ssh, a shell's job control) left the descriptor non-blocking: open(2), O_NONBLOCK is shared.
      poll(fd, POLLOUT, -1);
    }
  }
  return true;
}

/** Text on stdout, as it is. */
export function print(text: string): void {
  writeOut(STDOUT, encoder.encode(text));
}

/** A line on stdout. */
export function printLine(text: string): void {
  print(`${text}\n`);
}

/** A line on stderr: warnings, progress, what Docker prints there. Failures go through `fail.ts`. */
export function printError(text: string): void {
  writeOut(STDERR, encoder.encode(`${text}\n`));
}

/** A table on stdout as Docker lays it out; only the header when there are no rows. */
export function printTable(headers: readonly string[], rows: readonly (readonly string[])[]): void {
  print(layoutTable([headers, ...rows]));
}
