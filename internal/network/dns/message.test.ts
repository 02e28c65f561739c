import { expect, test } from "bun:test";
import {
  answer,
  badVersion,
  encodeName,
  isAnswerTo,
  isTruncated,
  NOERROR,
  nameAt,
  nameKey,
  parseQuery,
  type Query,
  refusal,
  relay,
  TYPE_A,
  withId,
} from "./message.ts";

/** A query as a client writes it. */
function ask(name: string, choices: { type?: number; id?: number; opt?: Uint8Array; flags?: number } = {}): Buffer {
  const { type = TYPE_A, id = 0x1234, opt, flags = 0x0100 } = choices;
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(opt === undefined ? 0 : 1, 10);
  const question = Buffer.from([0, type, 0, 1]);
  return Buffer.concat([header, encodeName(name) ?? Buffer.alloc(0), question, opt ?? Buffer.alloc(0)]);
}

/** An OPT record: size, version, DNSSEC OK. */
const opt = (bytes: number, version = 0, flags = 0) =>
  Buffer.from([0, 0, 41, bytes >> 8, bytes & 255, 0, version, flags >> 8, flags & 255, 0, 0]);

function queryOf(packet: Buffer): Query {
  const received = parseQuery(packet);
  if (received?.kind !== "query") throw new Error(`not a query: ${JSON.stringify(received)}`);
  return received.query;
}

test("message: a plain query", () => {
  expect(queryOf(ask("Web.Backend"))).toEqual({
    id: 0x1234,
    flags: 0x0100,
    name: "\x03web\x07backend",
    type: 1,
    class: 1,
    questionEnd: 29,
    udpBytes: 512,
    hasEdns: false,
    ednsVersion: 0,
    wantsDnssec: false,
  });
});

test.each([
  [opt(1232, 0, 0x8000), { udpBytes: 1232, hasEdns: true, ednsVersion: 0, wantsDnssec: true }],
  [opt(100), { udpBytes: 512, hasEdns: true, ednsVersion: 0, wantsDnssec: false }],
  [opt(65535, 1), { udpBytes: 4096, hasEdns: true, ednsVersion: 1, wantsDnssec: false }],
])("message: EDNS %#", (record, expected) => {
  expect(queryOf(ask("web", { opt: record }))).toMatchObject(expected);
});

const header = (...words: number[]) => Buffer.from(words.flatMap((word) => [word >> 8, word & 255]));
test.each([
  ["nothing", Buffer.alloc(0), undefined],
  ["half a header", Buffer.alloc(11), undefined],
  ["an answer", ask("web", { flags: 0x8180 }), undefined],
  ["another kind of request", ask("web", { flags: 0x2800 }), 4],
  ["no question", header(1, 0x100, 0, 0, 0, 0), 1],
  ["two questions", header(1, 0x100, 2, 0, 0, 0), 1],
  ["a name that ends early", Buffer.concat([header(1, 0x100, 1, 0, 0, 0), Buffer.from([3, 119, 101])]), 1],
  [
    "a name that points to itself",
    Buffer.concat([header(1, 0x100, 1, 0, 0, 0), Buffer.from([0xc0, 12, 0, 1, 0, 1])]),
    1,
  ],
  [
    "a label of 64 bytes",
    Buffer.concat([header(1, 0x100, 1, 0, 0, 0), Buffer.from([64]), Buffer.alloc(70, 97), Buffer.alloc(5)]),
    1,
  ],
  [
    "a name of 256 bytes",
    Buffer.concat([
      header(1, 0x100, 1, 0, 0, 0),
      ...Array.from({ length: 4 }, () => Buffer.concat([Buffer.from([63]), Buffer.alloc(63, 97)])),
      Buffer.from([0, 0, 1, 0, 1]),
    ]),
    1,
  ],
  ["no type", Buffer.concat([header(1, 0x100, 1, 0, 0, 0), Buffer.from([1, 97, 0])]), 1],
  ["more than it says", Buffer.concat([ask("web"), Buffer.from([0])]), 1],
  ["a record cut off", ask("web", { opt: opt(1232).subarray(0, 9) }), 1],
  ["a record longer than the rest", ask("web", { opt: Buffer.from([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 9]) }), 1],
  ["65535 records", header(1, 0x100, 1, 65535, 0, 0), 1],
])("message: %s is no query", (_what, packet, code) => {
  const received = parseQuery(packet);
  expect(received).toEqual(code === undefined ? undefined : { kind: "refused", code });
});

const address = (last: number) => ({ type: TYPE_A, value: Buffer.from([172, 18, 0, last]) });

test("message: an answer repeats the question as it was spelled, and points to it", () => {
  const packet = ask("WeB");
  const reply = answer(packet, queryOf(packet), NOERROR, [address(2), address(3)], { limit: 512, ttl: 600, first: 1 });
  expect(reply.toString("hex")).toBe(
    "123485800001000200000000" + // id, QR AA RD RA, counts
      "03576542000001 0001".replace(" ", "") +
      "c00c00010001000002580004ac120003" +
      "c00c00010001000002580004ac120002",
  );
});

test("message: what does not fit is left out, whole records at a time, and TC tells", () => {
  const packet = ask("web", { opt: opt(512) });
  const many = Array.from({ length: 200 }, (_, index) => address(index));
  const short = answer(packet, queryOf(packet), NOERROR, many, { limit: 512, ttl: 600 });
  expect(short.length).toBeLessThanOrEqual(512);
  expect(short.length).toBeGreaterThan(512 - 16);
  expect(isTruncated(short)).toBe(true);
  expect(short.readUInt16BE(6)).toBe(Math.floor((512 - 21 - 11) / 16));
  const whole = answer(packet, queryOf(packet), NOERROR, many, { limit: 65535, ttl: 600 });
  expect(isTruncated(whole)).toBe(false);
  expect(whole.readUInt16BE(6)).toBe(200);
});

test("message: an unknown version of EDNS is answered with BADVERS", () => {
  const packet = ask("web", { opt: opt(1232, 7) });
  const reply = badVersion(packet, queryOf(packet));
  expect(reply.readUInt16BE(2) & 15).toBe(0);
  expect([...reply.subarray(21)]).toEqual([0, 0, 41, 16, 0, 1, 0, 0, 0, 0, 0]);
});

test("message: a refusal is a header", () => {
  expect(refusal(ask("web", { id: 7 }), 1).toString("hex")).toBe("000781810000000000000000");
});

test("message: an answer is known by its id and its question, in whatever case", () => {
  const asked = withId(ask("example.org"), 77);
  const end = queryOf(asked).questionEnd;
  const reply = withId(ask("EXAMPLE.org", { flags: 0x8180 }), 77);
  expect(isAnswerTo(reply, asked, end)).toBe(true);
  expect(isAnswerTo(withId(reply, 78), asked, end)).toBe(false);
  expect(isAnswerTo(asked, asked, end)).toBe(false);
  expect(isAnswerTo(withId(ask("example.net", { flags: 0x8180 }), 77), asked, end)).toBe(false);
  expect(isAnswerTo(withId(ask("example.org", { type: 28, flags: 0x8180 }), 77), asked, end)).toBe(false);
  expect(isAnswerTo(reply.subarray(0, end - 1), asked, end)).toBe(false);
});

test("message: another server's answer gets the client's id and spelling, or TC when it is too long", () => {
  const packet = ask("eXample.org", { id: 5 });
  const reply = Buffer.concat([ask("example.org", { id: 99, flags: 0x8183 }), Buffer.alloc(20)]);
  const given = relay(reply, packet, queryOf(packet), 512);
  expect(given.readUInt16BE(0)).toBe(5);
  expect(given.toString("latin1", 12, 25)).toBe("\x07eXample\x03org\x00");
  expect(given.length).toBe(reply.length);
  const short = relay(reply, packet, queryOf(packet), reply.length - 1);
  expect(isTruncated(short)).toBe(true);
  expect(short.readUInt16BE(2) & 0x040f).toBe(3);
  expect(short.length).toBe(29);
});

test.each([
  ["web", "03776562"],
  ["web.backend", "03776562076261636b656e64"],
  ["", undefined],
  ["a..b", undefined],
  ["x".repeat(64), undefined],
  [Array.from({ length: 5 }, () => "x".repeat(60)).join("."), undefined],
])("message: the name %p in wire form", (name, expected) => {
  const key = nameKey(name);
  expect(key === undefined ? undefined : Buffer.from(key, "latin1").toString("hex")).toBe(expected);
});

test("message: a name with pointers, and one whose pointers never end", () => {
  const packet = Buffer.from("036f726700076578616d706c65c000c00d", "hex");
  expect(nameAt(packet, 5)).toBe("example.org");
  expect(nameAt(Buffer.from([0xc0, 0]), 0)).toBeUndefined();
  expect(nameAt(Buffer.from([1, 97, 0xc0, 0]), 0)).toBeUndefined();
  expect(nameAt(packet, 17)).toBeUndefined();
});

/** The same numbers in every run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("message: 40,000 broken messages: none throws, and each answer can be read again", () => {
  const random = createRandom(20261121);
  const good = [ask("web"), ask("db.backend", { opt: opt(1232) }), ask("4.3.2.1.in-addr.arpa", { type: 12 })];
  let queries = 0;
  for (let round = 0; round < 40_000; round++) {
    const base = good[random(good.length)] ?? Buffer.alloc(0);
    const packet = random(8) === 0 ? Buffer.alloc(random(80)) : Buffer.from(base.subarray(0, base.length - random(3)));
    for (let flips = random(6); flips > 0; flips--) packet[random(packet.length)] = random(256);
    nameAt(packet, random(packet.length + 4));
    const received = parseQuery(packet);
    if (received === undefined) continue;
    if (received.kind === "refused") {
      expect(refusal(packet, received.code).length).toBe(12);
      continue;
    }
    queries += 1;
    const { query } = received;
    expect(query.questionEnd).toBeLessThanOrEqual(packet.length);
    const reply = answer(packet, query, NOERROR, [address(1), address(2)], { limit: query.udpBytes, ttl: 1 });
    expect(reply.length).toBeLessThanOrEqual(query.udpBytes);
    expect(isAnswerTo(reply, packet, query.questionEnd)).toBe(true);
    for (let at = query.questionEnd, left = reply.readUInt16BE(6); left > 0; left--) {
      expect(nameAt(reply, at)).toBe(nameAt(packet, 12));
      at += 12 + reply.readUInt16BE(at + 10);
    }
  }
  expect(queries).toBeGreaterThan(4_000);
});
