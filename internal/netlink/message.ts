/**
 * The netlink wire format: messages of a 16-byte header and attributes of type, length, value, all aligned to 4
 * (netlink(7), rtnetlink(7)). Numbers are in the machine's order, which is little-endian on both architectures ctr
 * knows; what travels on a wire (addresses, MACs) comes as bytes.
 */
import { CtrError } from "../errors/error.ts";

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

// netlink(7), linux/netlink.h
export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_DUMP = 0x300;
/** On an answer: the request is cut off after its header (`NETLINK_CAP_ACK`). */
const NLM_F_CAPPED = 0x100;
/** On an answer: attributes follow that say more (`NETLINK_EXT_ACK`). */
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

/** What is asked of the kernel. `what` names it in an error: `add link ctr0`. */
export interface Request {
  readonly what: string;
  readonly bytes: Uint8Array;
  /** An errno that is no failure for this request: what it asks for may be so already, or not be there at all. */
  readonly mayFailWith?: readonly number[];
}

/** One message from the kernel. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** The port id: of the socket that is answered, or whose doing is told. */
  readonly sender: number;
  readonly payload: Uint8Array;
}

/** The attributes of a message by type; of a repeated type the last. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/** A message with its header; the sequence number is set when it is sent. `fixed` is what stands before the attributes. */
export function encodeMessage(
  type: number,
  flags: number,
  fixed: Uint8Array,
  attributes: readonly Uint8Array[],
): Uint8Array {
  const bytes = concatAligned(HEADER_BYTES, [fixed, ...attributes]);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags | NLM_F_REQUEST, true);
  return bytes;
}

/** Sets the sequence number of an encoded message, and asks for an answer even on success. */
export function stamp(message: Uint8Array, sequence: number, wantsAck: boolean): void {
  const view = new DataView(message.buffer, message.byteOffset);
  view.setUint32(8, sequence, true);
  if (wantsAck) view.setUint16(6, view.getUint16(6, true) | NLM_F_ACK, true);
}

/** An attribute: a number is 32 bits, text is NUL-terminated, bytes are taken as they are. */
export function attribute(type: number, value: number | string | Uint8Array): Uint8Array {
  const payload =
    typeof value === "number" ? u32(value) : typeof value === "string" ? ENCODER.encode(`${value}\0`) : value;
  const bytes = new Uint8Array(align(ATTRIBUTE_HEADER_BYTES + payload.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ATTRIBUTE_HEADER_BYTES + payload.length, true);
  view.setUint16(2, type, true);
  bytes.set(payload, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

/** An attribute that holds attributes; `fixed` stands before them (`VETH_INFO_PEER` has an ifinfomsg there). */
export function nested(
  type: number,
  attributes: readonly Uint8Array[],
  fixed: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return attribute(type | NLA_F_NESTED, concatAligned(0, [fixed, ...attributes]));
}

export function u8(value: number): Uint8Array {
  return new Uint8Array([value]);
}

export function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

/** The messages in one datagram. Throws CtrError for lengths that do not fit: the kernel sends none such. */
export function* decodeMessages(datagram: Uint8Array): Generator<Message> {
  const view = viewOf(datagram);
  for (let at = 0; at + HEADER_BYTES <= datagram.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || at + length > datagram.length)
      throw malformed(`message of ${length} bytes at ${at} of ${datagram.length}`);
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      sender: view.getUint32(at + 12, true),
      payload: datagram.subarray(at + HEADER_BYTES, at + length),
    };
    at += align(length);
  }
}

/** The attributes that follow `fixedBytes` of a payload. Throws CtrError for lengths that do not fit. */
export function decodeAttributes(payload: Uint8Array, fixedBytes = 0): Attributes {
  return new Map(attributesIn(payload, fixedBytes));
}

/** Every attribute of one type in an attribute that is a list of them. Throws CtrError for lengths that do not fit. */
export function repeatedOf(list: Uint8Array, type: number): Uint8Array[] {
  return [...attributesIn(list, 0)].flatMap(([found, value]) => (found === type ? [value] : []));
}

function* attributesIn(payload: Uint8Array, fixedBytes: number): Generator<[number, Uint8Array]> {
  const view = viewOf(payload);
  for (let at = align(fixedBytes); at + ATTRIBUTE_HEADER_BYTES <= payload.length; ) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > payload.length)
      throw malformed(`attribute of ${length} bytes at ${at} of ${payload.length}`);
    yield [view.getUint16(at + 2, true) & NLA_TYPE_MASK, payload.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length)];
    at += align(length);
  }
}

/** A number of 32 bits, or undefined when the attribute is missing or shorter. */
export function numberOf(attributes: Attributes, type: number): number | undefined {
  const value = attributes.get(type);
  return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
}

/** A number of 8 bits, or undefined when the attribute is missing. */
export function byteOf(attributes: Attributes, type: number): number | undefined {
  return attributes.get(type)?.[0];
}

/** Text up to its NUL, or undefined when the attribute is missing. */
export function textOf(attributes: Attributes, type: number): string | undefined {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return DECODER.decode(end < 0 ? value : value.subarray(0, end));
}

/** The attributes inside an attribute; none when it is missing. */
export function nestedOf(attributes: Attributes, type: number): Attributes {
  const value = attributes.get(type);
  return value === undefined ? new Map() : decodeAttributes(value);
}

/** What an `NLMSG_ERROR` says: errno (positive, 0 for success) and the kernel's own words if it has some. */
export function decodeError(message: Message): { readonly errno: number; readonly words: string | undefined } {
  const { payload, flags } = message;
  if (payload.length < 4) throw malformed("error without a number");
  const errno = -viewOf(payload).getInt32(0, true);
  if ((flags & NLM_F_ACK_TLVS) === 0 || payload.length < 4 + HEADER_BYTES) return { errno, words: undefined };
  const echoed = (flags & NLM_F_CAPPED) === 0 ? viewOf(payload).getUint32(4, true) : HEADER_BYTES;
  return { errno, words: textOf(decodeAttributes(payload, 4 + echoed), NLMSGERR_ATTR_MSG) };
}

/** The parts one after the other, each aligned, after `offset` empty bytes. */
function concatAligned(offset: number, parts: readonly Uint8Array[]): Uint8Array {
  let length = offset;
  for (const part of parts) length += align(part.length);
  const bytes = new Uint8Array(length);
  let at = offset;
  for (const part of parts) {
    bytes.set(part, at);
    at += align(part.length);
  }
  return bytes;
}

/** Not by `& ~3`: a length above 2^31 would turn negative. */
function align(length: number): number {
  return Math.ceil(length / 4) * 4;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function malformed(what: string): CtrError {
  return new CtrError("internal", `malformed netlink data: ${what}`);
}
