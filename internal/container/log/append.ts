/** The writing end of a log, for the supervisor. */
import { CtrError } from "../../errors/error.ts";
import {
  type Fd,
  ftruncate,
  lseek,
  O_APPEND,
  O_CREAT,
  O_NOFOLLOW,
  O_RDWR,
  open,
  pread,
  writePair,
} from "../../sys/fd.ts";
import {
  END_OF_RUN,
  encodeLogHeader,
  endOfRunRecord,
  isLogHeader,
  LOG_HEADER_BYTES,
  type LogStream,
  MAX_LOG_PAYLOAD_BYTES,
} from "./record.ts";
import { scanRecords } from "./scan.ts";

const SEEK_END = 2;

/** A log that is being written: opened once, kept over the restarts of its container, closed at the end. */
export class LogAppender implements Disposable {
  readonly #fd: Fd;
  readonly #header = new Uint8Array(LOG_HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);
  /** Where the last whole record ends. */
  #end: number;

  constructor(path: string) {
    this.#fd = openLogForAppend(path);
    this.#end = lseek(this.#fd.number, 0, SEEK_END);
  }

  /**
   * Appends bytes as they came. Throws what write(2) says (a full disk); of the record that failed nothing stays then,
   * so that those after it can be read.
   */
  append(stream: LogStream, data: Uint8Array, timeNs: bigint): void {
    for (let at = 0; at < data.length; at += MAX_LOG_PAYLOAD_BYTES) {
      const part = data.length <= MAX_LOG_PAYLOAD_BYTES ? data : data.subarray(at, at + MAX_LOG_PAYLOAD_BYTES);
      encodeLogHeader(this.#view, 0, part.length, stream, timeNs);
      this.#write(this.#header, part);
    }
  }

  /** Tells followers that nothing more comes: once, when the container is at rest. */
  endRun(timeNs: bigint): void {
    this.#write(endOfRunRecord(timeNs), new Uint8Array(0));
  }

  #write(header: Uint8Array, payload: Uint8Array): void {
    try {
      writePair(this.#fd.number, header, payload);
      this.#end += header.length + payload.length;
    } catch (error) {
      ftruncate(this.#fd.number, this.#end);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/**
 * Opens (or makes, 0600) the log for appending. What a killed supervisor left half written at the end is cut off, so
 * that every record starts where the one before it ends.
 */
export function openLogForAppend(path: string): Fd {
  const fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    const size = lseek(fd.number, 0, SEEK_END);
    if (size > 0 && !endsCleanly(fd.number, size)) ftruncate(fd.number, wholeRecordsEnd(fd.number, size));
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
  if (pread(fd, header, size - LOG_HEADER_BYTES) !== LOG_HEADER_BYTES)
    throw new CtrError("internal", "the log shrank while it was opened");
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
