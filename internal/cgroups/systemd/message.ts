/**
 * The part of D-Bus's wire format that asking systemd for a scope needs: method calls going out, replies, errors and
 * signals coming in (dbus.freedesktop.org, D-Bus Specification, "Message Protocol"). Little endian both ways.
 */
import { ProtocolError } from "../../errors/error.ts";

const LITTLE_ENDIAN = 0x6c; // 'l'
const VERSION = 1;
const METHOD_CALL = 1;
// Header fields
const [PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, SIGNATURE] = [1, 2, 3, 4, 5, 8];
const FIXED_HEADER = 16;
/** Far above anything systemd says to us; the specification allows 128 MiB. */
const MAX_MESSAGE = 1 << 20;

/** A value that is sent, by its type code. */
export type Value =
  | { readonly type: "s"; readonly value: string }
  | { readonly type: "b"; readonly value: boolean }
  | { readonly type: "t"; readonly value: bigint }
  | { readonly type: "ay"; readonly value: Uint8Array }
  | { readonly type: "au"; readonly value: readonly number[] };

/** A unit's property. */
export type Property = readonly [name: string, value: Value];

/** What came: type 2 is a reply, 3 an error, 4 a signal. Its body's strings and numbers are read in their order. */
export interface Message {
  readonly type: number;
  readonly member: string;
  readonly errorName: string;
  readonly replySerial: number;
  readonly body: readonly (string | number)[];
}

/** Grows as it is written; everything is aligned from the beginning of the message. */
export class Writer {
  #view = new DataView(new ArrayBuffer(1024));
  #length = 0;

  get bytes(): Uint8Array {
    return new Uint8Array(this.#view.buffer, 0, this.#length);
  }

  align(to: number): void {
    this.#take((to - (this.#length % to)) % to);
  }

  byte(value: number): void {
    this.#view.setUint8(this.#take(1), value);
  }

  uint32(value: number): void {
    this.align(4);
    this.#view.setUint32(this.#take(4), value, true);
  }

  uint64(value: bigint): void {
    this.align(8);
    this.#view.setBigUint64(this.#take(8), value, true);
  }

  /** Also for object paths. */
  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.uint32(bytes.length);
    this.raw(bytes);
    this.byte(0);
  }

  signature(text: string): void {
    this.byte(text.length);
    this.raw(new TextEncoder().encode(text));
    this.byte(0);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#take(bytes.length);
    new Uint8Array(this.#view.buffer).set(bytes, at);
  }

  /** The length in bytes comes first, without what aligns the first element. */
  array(alignment: number, write: () => void): void {
    this.uint32(0);
    const lengthAt = this.#length - 4;
    this.align(alignment);
    const start = this.#length;
    write();
    this.#view.setUint32(lengthAt, this.#length - start, true);
  }

  variant(content: Value): void {
    this.signature(content.type);
    switch (content.type) {
      case "s":
        this.string(content.value);
        break;
      case "b":
        this.uint32(content.value ? 1 : 0);
        break;
      case "t":
        this.uint64(content.value);
        break;
      case "ay":
        this.array(1, () => this.raw(content.value));
        break;
      case "au":
        this.array(4, () => {
          for (const number of content.value) this.uint32(number);
        });
        break;
      default:
        content satisfies never;
    }
  }

  #take(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#view.byteLength) {
      const grown = new Uint8Array(2 * this.#length);
      grown.set(new Uint8Array(this.#view.buffer, 0, at));
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

/** A method call; `write` writes the arguments that `signature` promises. */
export function methodCall(
  serial: number,
  target: { readonly path: string; readonly interface: string; readonly member: string },
  signature: string,
  write: (body: Writer) => void,
): Uint8Array {
  const body = new Writer();
  write(body);
  const message = new Writer();
  for (const byte of [LITTLE_ENDIAN, METHOD_CALL, 0, VERSION]) message.byte(byte);
  message.uint32(body.bytes.length);
  message.uint32(serial);
  message.array(8, () => {
    for (const [field, type, text] of [
      [PATH, "o", target.path],
      [INTERFACE, "s", target.interface],
      [MEMBER, "s", target.member],
    ] as const) {
      message.align(8);
      message.byte(field);
      message.signature(type);
      message.string(text);
    }
    message.align(8);
    message.byte(SIGNATURE);
    message.signature("g");
    message.signature(signature);
  });
  message.align(8);
  message.raw(body.bytes);
  return message.bytes;
}

/** The length of the message that begins here; undefined if too little is there to tell. Throws ProtocolError. */
export function messageLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < FIXED_HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint8(0) !== LITTLE_ENDIAN || view.getUint8(3) !== VERSION) {
    throw new ProtocolError("systemd: a message that is none");
  }
  const fields = view.getUint32(12, true);
  const body = view.getUint32(4, true);
  if (fields > MAX_MESSAGE || body > MAX_MESSAGE) throw new ProtocolError("systemd: a message that is too long");
  return FIXED_HEADER + fields + ((8 - (fields % 8)) % 8) + body;
}

/** Reads a whole message. Throws ProtocolError. */
export function parseMessage(bytes: Uint8Array): Message {
  const reader = new Reader(bytes);
  reader.skip(1);
  const type = reader.byte();
  reader.skip(2);
  const bodyLength = reader.uint32();
  reader.skip(4);
  const end = FIXED_HEADER + reader.uint32();
  let [member, errorName, signature] = ["", "", ""];
  let replySerial = 0;
  while (reader.at < end) {
    reader.align(8);
    const field = reader.byte();
    const kind = reader.signature();
    const value = reader.basic(kind);
    if (field === MEMBER && typeof value === "string") member = value;
    else if (field === ERROR_NAME && typeof value === "string") errorName = value;
    else if (field === SIGNATURE && typeof value === "string") signature = value;
    else if (field === REPLY_SERIAL && typeof value === "number") replySerial = value;
  }
  reader.align(8);
  const body: (string | number)[] = [];
  // Only basic types are wanted of any body; what comes after another one is not looked at.
  for (const kind of bodyLength === 0 ? "" : signature) {
    if (!"sogub".includes(kind)) break;
    body.push(reader.basic(kind));
  }
  return { type, member, errorName, replySerial, body };
}

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  align(to: number): void {
    this.at += (to - (this.at % to)) % to;
  }

  skip(size: number): void {
    this.#take(size);
  }

  byte(): number {
    return this.#view.getUint8(this.#take(1));
  }

  uint32(): number {
    this.align(4);
    return this.#view.getUint32(this.#take(4), true);
  }

  signature(): string {
    const text = this.#text(this.byte());
    this.skip(1);
    return text;
  }

  basic(kind: string): string | number {
    switch (kind) {
      case "s":
      case "o": {
        const text = this.#text(this.uint32());
        this.skip(1);
        return text;
      }
      case "g":
        return this.signature();
      case "u":
      case "b":
        return this.uint32();
      default:
        throw new ProtocolError(`systemd: a message with a ${JSON.stringify(kind)} where none is expected`);
    }
  }

  #text(length: number): string {
    const at = this.#take(length);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  #take(size: number): number {
    const at = this.at;
    if (size > this.#bytes.length - at) throw new ProtocolError("systemd: a message that ends too soon");
    this.at += size;
    return at;
  }
}
