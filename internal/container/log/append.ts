/** Opening a log for the supervisor that will write it. */
import { CtrError } from "../../errors/error.ts";
import { type Fd, ftruncate, lseek, O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR, open, pread } from "../../sys/fd.ts";
import { END_OF_RUN, isLogHeader, LOG_HEADER_BYTES } from "./record.ts";
import { scanRecords } from "./scan.ts";

const SEEK_END = 2;

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
