/** Walks the records of a log by their headers, reading payloads only where records are small. */
import { pread } from "../../sys/fd.ts";
import { isLogHeader, LOG_HEADER_BYTES } from "./record.ts";

/** Where a record lies; offsets in bytes from the start of the file. */
export interface RecordPlace {
  start: number;
  /** Of the payload; the payload ends at `end`. */
  payload: number;
  end: number;
  stream: number;
  flags: number;
  timeNs: bigint;
}

/** Read ahead only where records are smaller than this: otherwise their payloads would be read for nothing. */
const SMALL_RECORD_BYTES = 8192;
const READ_AHEAD_BYTES = 256 << 10;

/**
 * Calls `visit` for each whole record between `from` and `to` (the same object each time), until it returns false.
 * Returns where it stopped: the start of a record that is cut, damaged or refused, or `to`.
 */
export function scanRecords(fd: number, from: number, to: number, visit: (record: RecordPlace) => boolean): number {
  const buffer = new Uint8Array(READ_AHEAD_BYTES);
  const view = new DataView(buffer.buffer);
  const record: RecordPlace = { start: from, payload: from, end: from, stream: 0, flags: 0, timeNs: 0n };
  let bufferStart = from;
  let bufferEnd = from;
  let wanted = READ_AHEAD_BYTES;
  for (let at = from; at + LOG_HEADER_BYTES <= to; ) {
    if (at < bufferStart || at + LOG_HEADER_BYTES > bufferEnd) {
      const size = pread(fd, buffer.subarray(0, wanted), at);
      if (size < LOG_HEADER_BYTES) return at;
      bufferStart = at;
      bufferEnd = at + size;
    }
    const offset = at - bufferStart;
    if (!isLogHeader(view, offset)) return at;
    const length = view.getUint32(offset, true);
    record.start = at;
    record.payload = at + LOG_HEADER_BYTES;
    record.end = record.payload + length;
    if (record.end > to) return at;
    record.stream = view.getUint8(offset + 4);
    record.flags = view.getUint8(offset + 5);
    record.timeNs = view.getBigUint64(offset + 8, true);
    if (!visit(record)) return at;
    wanted = length < SMALL_RECORD_BYTES ? READ_AHEAD_BYTES : LOG_HEADER_BYTES;
    at = record.end;
  }
  return to;
}
