/**
 * DNS messages as they travel (RFC 1035 §4, EDNS0 of RFC 6891): as much of them as a server of names and a forwarder
 * need. Queries come from containers and answers from anywhere, so every length is checked against the message's end
 * before it is used, and nothing here throws for what a peer sent.
 */

const HEADER_BYTES = 12;
const MAX_NAME_BYTES = 255; // RFC 1035 §2.3.4
const MAX_LABEL_BYTES = 63;
const POINTER = 0xc0;
/** A name that points back more often than it could have labels is a loop. */
const MAX_POINTERS = 128;
/** What a server may send over UDP to a client that says nothing of it: RFC 1035 §4.2.1. */
export const PLAIN_UDP_BYTES = 512;
/** The most we send in one datagram, whatever a client says it takes. */
const MAX_UDP_BYTES = 4096;
/** A query has one question and, besides, hardly more than an OPT record. */
const MAX_QUERY_RECORDS = 8;

// RFC 1035 §3.2.2, §3.2.4, §4.1.1; RFC 3596 (AAAA); RFC 6891 (OPT, BADVERS)
export const TYPE_A = 1;
export const TYPE_PTR = 12;
export const TYPE_AAAA = 28;
const TYPE_OPT = 41;
export const TYPE_IXFR = 251;
export const TYPE_AXFR = 252;
export const TYPE_ANY = 255;
export const CLASS_IN = 1;
export const NOERROR = 0;
export const FORMERR = 1;
export const SERVFAIL = 2;
export const NXDOMAIN = 3;
export const NOTIMP = 4;
export const REFUSED = 5;
const BADVERS = 16;

const QR = 0x8000;
const OPCODE = 0x7800;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const RA = 0x0080;
const CD = 0x0010;
const RCODE = 0x000f;
/** Of an OPT record's flags: the client wants DNSSEC records. */
const DO = 0x8000;

/** A query that can be answered. */
export interface Query {
  readonly id: number;
  readonly flags: number;
  /** The name in wire form without its root label, lower case, one character per byte: `\x03web\x06backend`. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Where the question ends. */
  readonly questionEnd: number;
  /** The largest answer by UDP. */
  readonly udpBytes: number;
  readonly hasEdns: boolean;
  /** The version of EDNS it speaks; only 0 exists. */
  readonly ednsVersion: number;
  readonly wantsDnssec: boolean;
}

/** What to do with what came: answer it, answer it with this code and nothing else, or say nothing (undefined). */
export type Received =
  | { readonly kind: "query"; readonly query: Query }
  | { readonly kind: "refused"; readonly code: number };

/** A record of an answer about the name that was asked for. */
export interface AnswerRecord {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Reads a query. Undefined for what must not be answered at all: no header, or an answer. */
export function parseQuery(packet: Buffer): Received | undefined {
  if (packet.length < HEADER_BYTES) return undefined;
  const flags = word(packet, 2);
  if ((flags & QR) !== 0) return undefined;
  if ((flags & OPCODE) !== 0) return { kind: "refused", code: NOTIMP };
  const records = word(packet, 6) + word(packet, 8) + word(packet, 10);
  if (word(packet, 4) !== 1 || records > MAX_QUERY_RECORDS) return { kind: "refused", code: FORMERR };
  const end = plainNameEnd(packet, HEADER_BYTES);
  if (end === undefined || end + 4 > packet.length) return { kind: "refused", code: FORMERR };
  const edns = records === 0 && end + 4 === packet.length ? NO_EDNS : parseRecords(packet, end + 4, records);
  if (edns === undefined) return { kind: "refused", code: FORMERR };
  return {
    kind: "query",
    query: {
      id: word(packet, 0),
      flags,
      name: packet.toString("latin1", HEADER_BYTES, end - 1).toLowerCase(),
      type: word(packet, end),
      class: word(packet, end + 2),
      questionEnd: end + 4,
      ...edns,
    },
  };
}

type Edns = Pick<Query, "udpBytes" | "hasEdns" | "ednsVersion" | "wantsDnssec">;

const NO_EDNS: Edns = { udpBytes: PLAIN_UDP_BYTES, hasEdns: false, ednsVersion: 0, wantsDnssec: false };

/** Walks the records behind the question to the message's very end. Undefined when they are not as they should be. */
function parseRecords(packet: Buffer, start: number, count: number): Edns | undefined {
  let at = start;
  let edns = NO_EDNS;
  for (let index = 0; index < count; index++) {
    const end = nameEnd(packet, at);
    if (end === undefined || end + 10 > packet.length) return undefined;
    const length = word(packet, end + 8);
    if (end + 10 + length > packet.length) return undefined;
    if (word(packet, end) === TYPE_OPT) {
      if (edns.hasEdns || packet[at] !== 0) return undefined; // RFC 6891 §6.1.1: one at most, named by the root
      const udpBytes = Math.min(MAX_UDP_BYTES, Math.max(PLAIN_UDP_BYTES, word(packet, end + 2)));
      const ednsVersion = packet[end + 5] ?? 0;
      edns = { udpBytes, hasEdns: true, ednsVersion, wantsDnssec: (word(packet, end + 6) & DO) !== 0 };
    }
    at = end + 10 + length;
  }
  return at === packet.length ? edns : undefined;
}

/** Where a name without pointers ends: a question has nothing to point back to. */
function plainNameEnd(packet: Uint8Array, start: number): number | undefined {
  let at = start;
  for (;;) {
    const length = packet[at];
    if (length === undefined || length > MAX_LABEL_BYTES) return undefined;
    at += 1 + length;
    if (at - start > MAX_NAME_BYTES || at > packet.length) return undefined;
    if (length === 0) return at;
  }
}

/** Where a name ends in its record: at its root label, or behind its first pointer. */
function nameEnd(packet: Uint8Array, start: number): number | undefined {
  let at = start;
  for (;;) {
    const length = packet[at];
    if (length === undefined || at - start > MAX_NAME_BYTES) return undefined;
    if (length >= POINTER) return at + 2 <= packet.length ? at + 2 : undefined;
    if (length > MAX_LABEL_BYTES) return undefined;
    at += 1 + length;
    if (length === 0) return at;
  }
}

/** The name at `start`, as text with dots and every pointer followed. Undefined when it is none. */
export function nameAt(packet: Uint8Array, start: number): string | undefined {
  const labels: string[] = [];
  let at = start;
  let bytes = 0;
  for (let pointers = 0; pointers <= MAX_POINTERS; ) {
    const length = packet[at];
    if (length === undefined) return undefined;
    if (length >= POINTER) {
      const low = packet[at + 1];
      if (low === undefined) return undefined;
      at = ((length & ~POINTER) << 8) | low;
      pointers += 1;
      continue;
    }
    if (length > MAX_LABEL_BYTES || at + 1 + length > packet.length) return undefined;
    if (length === 0) return labels.join(".");
    bytes += 1 + length;
    if (bytes >= MAX_NAME_BYTES) return undefined;
    labels.push(String.fromCharCode(...packet.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return undefined;
}

/**
 * Text with dots in wire form with its root label: a label longer than 63 bytes, an empty one or a name longer than 255
 * bytes cannot be asked for and gives undefined.
 */
export function encodeName(name: string): Buffer | undefined {
  const labels = name.split(".").map((label) => Buffer.from(label, "utf8"));
  if (labels.some(({ length }) => length === 0 || length > MAX_LABEL_BYTES)) return undefined;
  const parts = labels.flatMap((label) => [Buffer.from([label.length]), label]);
  const encoded = Buffer.concat([...parts, Buffer.from([0])]);
  return encoded.length > MAX_NAME_BYTES ? undefined : encoded;
}

/** A name as `Query.name` has it. */
export function nameKey(name: string): string | undefined {
  const encoded = encodeName(name);
  return encoded?.toString("latin1", 0, encoded.length - 1).toLowerCase();
}

/** The labels of a `Query.name`. */
export function labelsOf(name: string): string[] {
  const labels: string[] = [];
  for (let at = 0; at < name.length; ) {
    const length = name.charCodeAt(at);
    labels.push(name.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return labels;
}

/** Every answer is written here and sent, or copied, before the next one is. */
const OUTPUT = Buffer.alloc(0xffff);
const OPT_BYTES = 11;
const RECORD_BYTES = 12;

/**
 * An answer of our own, valid until the next call. What does not fit into `limit` is left out and `TC` says so; a value
 * stands as it is, its name points to the question.
 */
export function answer(
  packet: Buffer,
  query: Query,
  code: number,
  records: readonly AnswerRecord[],
  choices: { readonly limit: number; readonly ttl: number; readonly first?: number },
): Buffer {
  const { questionEnd, hasEdns, flags } = query;
  packet.copy(OUTPUT, 0, 0, questionEnd);
  const room = Math.min(choices.limit, OUTPUT.length) - (hasEdns ? OPT_BYTES : 0);
  let at = questionEnd;
  let count = 0;
  for (; count < records.length; count++) {
    const record = records[(count + (choices.first ?? 0)) % records.length];
    if (record === undefined || at + RECORD_BYTES + record.value.length > room) break;
    setWord(at, 0xc000 | HEADER_BYTES);
    setWord(at + 2, record.type);
    setWord(at + 4, CLASS_IN);
    setWord(at + 6, choices.ttl >>> 16);
    setWord(at + 8, choices.ttl & 0xffff);
    setWord(at + 10, record.value.length);
    OUTPUT.set(record.value, at + RECORD_BYTES);
    at += RECORD_BYTES + record.value.length;
  }
  const authority = code === NOERROR || code === NXDOMAIN ? AA : 0;
  const cut = count < records.length ? TC : 0;
  setWord(2, QR | authority | cut | (flags & (RD | CD)) | RA | (code & RCODE));
  setWord(6, count);
  setWord(8, 0);
  setWord(10, hasEdns ? 1 : 0);
  if (hasEdns) at = writeOpt(at, code, query.wantsDnssec);
  return OUTPUT.subarray(0, at);
}

function writeOpt(at: number, code: number, wantsDnssec: boolean): number {
  OUTPUT[at] = 0;
  setWord(at + 1, TYPE_OPT);
  setWord(at + 3, MAX_UDP_BYTES);
  setWord(at + 5, (code >> 4) << 8); // upper bits of the code, version 0
  setWord(at + 7, wantsDnssec ? DO : 0);
  setWord(at + 9, 0);
  return at + OPT_BYTES;
}

/** The answer to a version of EDNS that nobody speaks: RFC 6891 §6.1.3. */
export function badVersion(packet: Buffer, query: Query): Buffer {
  return answer(packet, query, BADVERS, [], { limit: PLAIN_UDP_BYTES, ttl: 0 });
}

/** The answer to what could not be read: its header and nothing else. */
export function refusal(packet: Buffer, code: number): Buffer {
  packet.copy(OUTPUT, 0, 0, 4);
  setWord(2, QR | (word(packet, 2) & (OPCODE | RD)) | RA | code);
  OUTPUT.fill(0, 4, HEADER_BYTES);
  return OUTPUT.subarray(0, HEADER_BYTES);
}

/** The query with another id: what is asked of the next server. */
export function withId(packet: Uint8Array, id: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** True for the answer to this query, sent as `asked`: same id, same question in whatever case. */
export function isAnswerTo(reply: Buffer, asked: Buffer, questionEnd: number): boolean {
  if (reply.length < questionEnd || word(reply, 0) !== word(asked, 0)) return false;
  if ((word(reply, 2) & (QR | OPCODE)) !== QR || word(reply, 4) !== 1) return false;
  // Length bytes are below 64, so lower case leaves them alone.
  const question = reply.toString("latin1", HEADER_BYTES, questionEnd);
  const wanted = asked.toString("latin1", HEADER_BYTES, questionEnd);
  return (
    question.slice(-4) === wanted.slice(-4) && question.slice(0, -4).toLowerCase() === wanted.slice(0, -4).toLowerCase()
  );
}

export function isTruncated(reply: Buffer): boolean {
  return (word(reply, 2) & TC) !== 0;
}

export function codeOf(reply: Buffer): number {
  return word(reply, 2) & RCODE;
}

/** Another server's answer for the client that sent `packet`: its id, and its own spelling of the name. */
export function relay(reply: Buffer, packet: Buffer, query: Query, limit: number): Buffer {
  if (reply.length > limit) {
    const short = answer(packet, query, codeOf(reply), [], { limit, ttl: 0 });
    setWord(2, (word(OUTPUT, 2) & ~AA) | TC);
    return short;
  }
  reply.copy(OUTPUT);
  setWord(0, query.id);
  packet.copy(OUTPUT, HEADER_BYTES, HEADER_BYTES, query.questionEnd);
  return OUTPUT.subarray(0, reply.length);
}

function word(packet: Uint8Array, at: number): number {
  return ((packet[at] ?? 0) << 8) | (packet[at + 1] ?? 0);
}

function setWord(at: number, value: number): void {
  OUTPUT[at] = value >> 8;
  OUTPUT[at + 1] = value;
}
