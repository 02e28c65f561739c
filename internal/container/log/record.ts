/**
 * The log of a container, `<root>/containers/<id>/log`: records of a 16-byte little-endian header and the bytes as they
 * came from the pipe, many lines or part of one. Only the container's supervisor writes it; the order is that in which
 * the supervisor read the streams.
 *
 *   u32 payload length │ u8 stream │ u8 flags │ u16 magic │ u64 time, ns since 1970 │ payload
 *
 * A run ends with an empty record flagged `END_OF_RUN`, so a follower ends without asking anybody. A supervisor that
 * was killed wrote none, and may have left a cut record at the end: `openLogForAppend` removes it before the next run.
 */

export const LOG_HEADER_BYTES = 16;
export const LOG_MAGIC = 0x6c63; // "cl"
/** The largest payload of one record, in bytes: more is written as several. */
export const MAX_LOG_PAYLOAD_BYTES = 1 << 20;
/** The supervisor writes this flag in an empty record when its container is done: not between restarts by policy. */
export const END_OF_RUN = 1;

export const LOG_STDOUT = 1;
export const LOG_STDERR = 2;
export type LogStream = typeof LOG_STDOUT | typeof LOG_STDERR;

/** Where a container's log is, in the engine's own format. */
export function logPath(root: string, id: string): string {
  return `${root}/containers/${id}/log`;
}

/** Where the driver `json-file` writes. */
export function jsonLogPath(root: string, id: string): string {
  return `${root}/containers/${id}/${id}-json.log`;
}

/** Writes a header into `target` at `offset`, so that a writer can keep room for it before its read buffer. */
export function encodeLogHeader(
  target: DataView,
  offset: number,
  payloadBytes: number,
  stream: LogStream,
  timeNs: bigint,
  flags = 0,
): void {
  target.setUint32(offset, payloadBytes, true);
  target.setUint8(offset + 4, stream);
  target.setUint8(offset + 5, flags);
  target.setUint16(offset + 6, LOG_MAGIC, true);
  target.setBigUint64(offset + 8, timeNs, true);
}

/** The record that ends a run. */
export function endOfRunRecord(timeNs: bigint): Uint8Array {
  const bytes = new Uint8Array(LOG_HEADER_BYTES);
  encodeLogHeader(new DataView(bytes.buffer), 0, 0, LOG_STDOUT, timeNs, END_OF_RUN);
  return bytes;
}

/** True if a whole, plausible header starts at `offset`: the caller has made sure that 16 bytes are there. */
export function isLogHeader(view: DataView, offset: number): boolean {
  const stream = view.getUint8(offset + 4);
  return (
    view.getUint16(offset + 6, true) === LOG_MAGIC &&
    (stream === LOG_STDOUT || stream === LOG_STDERR) &&
    view.getUint8(offset + 5) <= END_OF_RUN &&
    view.getUint32(offset, true) <= MAX_LOG_PAYLOAD_BYTES
  );
}
