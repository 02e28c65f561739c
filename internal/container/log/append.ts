/** The writing end of the engine's own log, the driver `local`. */
import { type Fd, lseek, pread } from "../../sys/fd.ts";
import {
  END_OF_RUN,
  encodeLogHeader,
  endOfRunRecord,
  isLogHeader,
  LOG_HEADER_BYTES,
  type LogStream,
  MAX_LOG_PAYLOAD_BYTES,
} from "./record.ts";
import { cutTo, NO_ROTATION, openForAppend, RotatingFile, type Rotation } from "./rotating-file.ts";
import { scanRecords } from "./scan.ts";
import type { LogSink } from "./sink.ts";

const SEEK_END = 2;
const NEWLINE = 10;

/** A log that is being written: opened once, kept over the restarts of its container, closed at the end. */
export class LogAppender implements LogSink {
  readonly #file: RotatingFile;
  readonly #header = new Uint8Array(LOG_HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);
  /** The streams that are in the middle of a line. */
  #unfinished = 0;
  /** How long the file may become while it waits for the end of a line. */
  #mostBytes: number;

  constructor(path: string, rotation: Rotation = NO_ROTATION) {
    this.#file = new RotatingFile(path, openLogForAppend(path), rotation);
    this.#mostBytes = 2 * this.#file.maxBytes;
  }

  /**
   * Appends bytes as they came. Throws what write(2) says (a full disk); of the record that failed nothing stays then,
   * so that those after it can be read.
   *
   * A full file is left between two lines of both streams, so that one that is thrown away leaves no torn line behind;
   * only a line that has no end is cut, when the file is twice as long as it should be.
   */
  write(stream: LogStream, bytes: Uint8Array, timeNs: bigint): void {
    let rest = bytes;
    while (rest.length > this.#room(stream)) {
      const size = this.#lastThatFits(stream, rest);
      if (size > 0) this.#append(stream, rest.subarray(0, size), timeNs);
      rest = rest.subarray(size);
      if (rest.length === 0) return;
      if (!this.#file.rotate()) {
        // Not now: the wait for a good moment begins again behind these bytes.
        this.#append(stream, rest, timeNs);
        this.#mostBytes = this.#file.size + this.#file.maxBytes;
        return;
      }
      this.#mostBytes = 2 * this.#file.maxBytes;
    }
    this.#append(stream, rest, timeNs);
  }

  /** How many bytes of a stream the file still takes: while the other one's line is unfinished up to twice as many. */
  #room(stream: LogStream): number {
    const limit = (this.#unfinished & ~stream) === 0 ? this.#file.maxBytes : this.#mostBytes;
    return limit - this.#file.size - LOG_HEADER_BYTES;
  }

  #lastThatFits(stream: LogStream, bytes: Uint8Array): number {
    const room = this.#room(stream);
    const lines = room <= 0 ? 0 : bytes.lastIndexOf(NEWLINE, room - 1) + 1;
    if (lines > 0) return lines;
    // Not one whole line: it begins the next file, unless it has begun in this one or is longer than a file.
    if ((this.#unfinished & stream) === 0 && this.#file.size > 0) return 0;
    const most = Math.max(0, this.#mostBytes - this.#file.size - LOG_HEADER_BYTES);
    const newline = bytes.subarray(0, most).indexOf(NEWLINE);
    return newline < 0 ? Math.min(most, bytes.length) : newline + 1;
  }

  #append(stream: LogStream, bytes: Uint8Array, timeNs: bigint): void {
    for (let at = 0; at < bytes.length; at += MAX_LOG_PAYLOAD_BYTES) {
      const part = bytes.length <= MAX_LOG_PAYLOAD_BYTES ? bytes : bytes.subarray(at, at + MAX_LOG_PAYLOAD_BYTES);
      encodeLogHeader(this.#view, 0, part.length, stream, timeNs);
      this.#file.write(this.#header, part);
    }
    if (bytes[bytes.length - 1] === NEWLINE) this.#unfinished &= ~stream;
    else this.#unfinished |= stream;
  }

  /** No line is kept back; full files that are still being compressed are waited for. */
  endStreams(): Promise<void> | undefined {
    return this.#file.isBusy ? this.#file.settled : undefined;
  }

  /** Tells followers that nothing more comes: once, when the container is at rest. */
  endRun(timeNs: bigint): void {
    this.#unfinished = 0;
    this.#file.write(endOfRunRecord(timeNs));
  }

  get isBusy(): boolean {
    return this.#file.isBusy;
  }

  close(): void {
    this.#file.close();
  }
}

/**
 * Opens (or makes, 0600) the log for appending. What a killed supervisor left half written at the end is cut off, so
 * that every record starts where the one before it ends.
 */
export function openLogForAppend(path: string): Fd {
  const fd = openForAppend(path);
  try {
    const size = lseek(fd.number, 0, SEEK_END);
    if (size > 0 && !endsCleanly(fd.number, size)) cutTo(fd, wholeRecordsEnd(fd.number, size), size);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** The usual case, seen without reading the log: the last run wrote its end. */
function endsCleanly(fd: number, size: number): boolean {
  if (size < LOG_HEADER_BYTES) return false;
  const header = new Uint8Array(LOG_HEADER_BYTES);
  if (pread(fd, header, size - LOG_HEADER_BYTES) !== LOG_HEADER_BYTES) return false;
  const view = new DataView(header.buffer);
  return isLogHeader(view, 0) && view.getUint8(5) === END_OF_RUN && view.getUint32(0, true) === 0;
}

function wholeRecordsEnd(fd: number, size: number): number {
  let end = 0;
  scanRecords(fd, 0, size, (record) => {
    end = record.end;
    return true;
  });
  return end;
}
