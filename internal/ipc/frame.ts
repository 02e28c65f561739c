/**
 * Frames: a 4-byte big-endian length, then that many bytes of msgpack. Every conversation starts with a hello frame
 * that names it and its version. Bytes from a peer are hostile: length, depth and kinds are bounded before anything
 * is built from them.
 */
import { Packr } from "msgpackr/pack";
import { Unpackr } from "msgpackr/unpack";
import { ProtocolError } from "../errors/error.ts";

/** The largest payload, in bytes: a container description with a full environment fits, a flood does not. */
export const MAX_FRAME_BYTES = 4 << 20;
/** How deep maps and lists may nest. */
export const MAX_DEPTH = 16;

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** One frame, ready to be written. */
export function encodeFrame(message: object): Uint8Array {
  const payload = packr.pack(message);
  if (payload.length > MAX_FRAME_BYTES)
    throw new ProtocolError(`message of ${payload.length} bytes is larger than a frame may be`);
  const frame = new Uint8Array(4 + payload.length);
  new DataView(frame.buffer).setUint32(0, payload.length);
  frame.set(payload, 4);
  return frame;
}

/** A payload's value, after its shape is checked. Throws ProtocolError. */
export function decodePayload(payload: Uint8Array): unknown {
  checkMsgpack(payload);
  try {
    return unpackr.unpack(payload);
  } catch (error) {
    throw new ProtocolError(`malformed frame: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Collects chunks from a stream and gives out whole frames. */
export class FrameReader {
  #buffer = new Uint8Array(0);
  #used = 0;

  /** Takes a chunk; the payloads it completed are then read with `next`. */
  push(chunk: Uint8Array): void {
    if (this.#buffer.length - this.#used < chunk.length) {
      const grown = new Uint8Array(Math.max(4096, this.#used + chunk.length));
      grown.set(this.#buffer.subarray(0, this.#used));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#used);
    this.#used += chunk.length;
  }

  /** The next whole value, or undefined until more arrives. Throws ProtocolError for an oversized or malformed frame. */
  next(): unknown {
    if (this.#used < 4) return undefined;
    const length = new DataView(this.#buffer.buffer, this.#buffer.byteOffset).getUint32(0);
    if (length > MAX_FRAME_BYTES) throw new ProtocolError(`frame of ${length} bytes is larger than ${MAX_FRAME_BYTES}`);
    if (length === 0) throw new ProtocolError("empty frame");
    if (this.#used < 4 + length) return undefined;
    // A copy: binary fields of the value point into the payload, and the buffer is reused.
    const payload = this.#buffer.slice(4, 4 + length);
    this.#buffer.copyWithin(0, 4 + length, this.#used);
    this.#used -= 4 + length;
    if (this.#used === 0 && this.#buffer.length > 65536) this.#buffer = new Uint8Array(0);
    return decodePayload(payload);
  }

  /** True in the middle of a frame: an end of stream here is an error. */
  get isPartial(): boolean {
    return this.#used > 0;
  }
}

/**
 * Walks one msgpack value without building it: throws ProtocolError unless it is exactly one map, at most `MAX_DEPTH`
 * deep, whose lengths fit the payload and which holds no extension types. msgpack spec, "Formats".
 */
export function checkMsgpack(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  // How many values are still to come at each level.
  const open: number[] = [1];
  let at = 0;
  const need = (count: number) => {
    if (at + count > bytes.length) throw new ProtocolError("malformed frame: it ends inside a value");
  };
  const skip = (count: number) => {
    need(count);
    at += count;
  };
  const length = (size: 1 | 2 | 4) => {
    need(size);
    const value = size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at) : view.getUint32(at);
    at += size;
    return value;
  };
  const enter = (count: number) => {
    if (count > bytes.length - at) throw new ProtocolError("malformed frame: more values than bytes");
    if (open.length > MAX_DEPTH) throw new ProtocolError(`malformed frame: nested deeper than ${MAX_DEPTH}`);
    open.push(count);
  };
  for (;;) {
    const left = open.at(-1) ?? 0;
    if (left === 0) {
      open.pop();
      if (open.length === 0) break;
      continue;
    }
    open[open.length - 1] = left - 1;
    need(1);
    const tag = view.getUint8(at++);
    if (open.length === 1 && !((tag >= 0x80 && tag <= 0x8f) || tag === 0xde || tag === 0xdf)) {
      throw new ProtocolError("malformed frame: a message is a map");
    }
    if (tag <= 0x7f || tag >= 0xe0) continue;
    if (tag <= 0x8f) enter(2 * (tag & 0x0f));
    else if (tag <= 0x9f) enter(tag & 0x0f);
    else if (tag <= 0xbf) skip(tag & 0x1f);
    else if (tag === 0xc0 || tag === 0xc2 || tag === 0xc3) continue;
    else if (tag === 0xc4 || tag === 0xd9) skip(length(1));
    else if (tag === 0xc5 || tag === 0xda) skip(length(2));
    else if (tag === 0xc6 || tag === 0xdb) skip(length(4));
    else if (tag === 0xca || tag === 0xce || tag === 0xd2) skip(4);
    else if (tag === 0xcb || tag === 0xcf || tag === 0xd3) skip(8);
    else if (tag === 0xcc || tag === 0xd0) skip(1);
    else if (tag === 0xcd || tag === 0xd1) skip(2);
    else if (tag === 0xdc) enter(length(2));
    else if (tag === 0xdd) enter(length(4));
    else if (tag === 0xde) enter(2 * length(2));
    else if (tag === 0xdf) enter(2 * length(4));
    else throw new ProtocolError("malformed frame: extension types are not spoken here");
  }
  if (at !== bytes.length) throw new ProtocolError("malformed frame: bytes after the message");
}
