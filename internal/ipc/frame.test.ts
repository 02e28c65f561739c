/** Frames are hostile until checked: whatever comes, the answer is a value or a ProtocolError, and nothing large is built. */
import { describe, expect, test } from "bun:test";
import { ProtocolError } from "../errors/error.ts";
import { checkMsgpack, decodePayload, encodeFrame, FrameReader, MAX_DEPTH, MAX_FRAME_BYTES } from "./frame.ts";

/** A small generator of the same numbers every time (xorshift32). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Decodes, and gives back only what is allowed to come out of it. */
function attempt(payload: Uint8Array): unknown {
  try {
    return decodePayload(payload);
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
}

function frameOf(payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(4 + payload.length);
  new DataView(frame.buffer).setUint32(0, payload.length);
  frame.set(payload, 4);
  return frame;
}

const SAMPLE = {
  type: "sample",
  empty: "",
  text: "größer",
  numbers: [0, 1, -1, 127, 128, -129, 65536, -70000, 2 ** 40, 1.5],
  flags: [true, false, null],
  data: new Uint8Array([0, 255, 1, 254]),
  deep: { a: [{ b: { c: [[]] } }] },
};

test("a message survives its frame", () => {
  expect(decodePayload(encodeFrame(SAMPLE).subarray(4))).toEqual(SAMPLE);
});

test("an undefined field, which msgpack does not know, is refused by who reads it", () => {
  expect(() => decodePayload(encodeFrame({ type: "a", b: undefined }).subarray(4))).toThrow("extension types");
});

test("frames come whole out of chunks of any size", () => {
  const random = generator(7);
  const messages = Array.from({ length: 40 }, (_unused, i) => ({ type: "n", i, data: new Uint8Array(random(3000)) }));
  const stream = Buffer.concat(messages.map(encodeFrame));
  const reader = new FrameReader();
  const out: unknown[] = [];
  for (let at = 0; at < stream.length; ) {
    const size = 1 + random(random(2) === 0 ? 7 : 5000);
    reader.push(stream.subarray(at, at + size));
    at += size;
    for (let value = reader.next(); value !== undefined; value = reader.next()) out.push(value);
  }
  expect(out).toEqual(messages);
  expect(reader.isPartial).toBe(false);
});

test("binary fields do not change when the next frame arrives", () => {
  const reader = new FrameReader();
  reader.push(encodeFrame({ data: new Uint8Array(100).fill(1) }));
  const first = reader.next() as { readonly data: Uint8Array };
  reader.push(encodeFrame({ data: new Uint8Array(100).fill(2) }));
  reader.next();
  expect(first.data).toEqual(new Uint8Array(100).fill(1));
});

test("random bytes: a value or a ProtocolError, never anything else", () => {
  const random = generator(20_261_121);
  for (let round = 0; round < 20_000; round++) {
    const payload = Uint8Array.from({ length: random(64) }, () => random(256));
    // Half of them begin as a map does, so that the walk gets somewhere.
    if (payload.length > 0 && round % 2 === 0) payload[0] = 0x80 | random(16);
    attempt(payload);
  }
});

test("a changed byte anywhere: a value or a ProtocolError", () => {
  const random = generator(99);
  const good = encodeFrame(SAMPLE).subarray(4);
  for (let round = 0; round < 10_000; round++) {
    const bad = good.slice();
    for (let flips = 1 + random(3); flips > 0; flips--) bad[random(bad.length)] = random(256);
    attempt(bad);
  }
});

test("a frame cut off anywhere is malformed", () => {
  const good = encodeFrame(SAMPLE).subarray(4);
  for (let length = 0; length < good.length; length++) {
    expect(() => decodePayload(good.subarray(0, length))).toThrow(ProtocolError);
  }
});

test("bytes after the message are malformed", () => {
  expect(() => decodePayload(new Uint8Array([0x80, 0x80]))).toThrow("bytes after the message");
});

describe("lengths", () => {
  const header = (length: number) => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, length);
    return bytes;
  };

  test.each([MAX_FRAME_BYTES + 1, 0x7fffffff, 0xffffffff, 0x47455420])(
    "%d is refused before anything is kept",
    (length) => {
      const reader = new FrameReader();
      reader.push(header(length));
      expect(() => reader.next()).toThrow("is larger than");
    },
  );

  test("an empty frame is refused", () => {
    const reader = new FrameReader();
    reader.push(header(0));
    expect(() => reader.next()).toThrow("empty frame");
  });

  test("the largest frame passes, one byte more is refused by its sender", () => {
    const fits = { data: new Uint8Array(MAX_FRAME_BYTES - 16) };
    const reader = new FrameReader();
    reader.push(encodeFrame(fits));
    expect((reader.next() as typeof fits).data.length).toBe(fits.data.length);
    expect(() => encodeFrame({ data: new Uint8Array(MAX_FRAME_BYTES) })).toThrow(ProtocolError);
  });

  test("a promised length is not allocated: a reader that waits for 4 MiB holds what has come", () => {
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 200 }, () => {
      const reader = new FrameReader();
      reader.push(header(MAX_FRAME_BYTES));
      expect(reader.next()).toBeUndefined();
      return reader;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan((200 * 64) << 10);
    expect(readers.every((reader) => reader.isPartial)).toBe(true);
  });
});

describe("counts and depth", () => {
  test.each([
    ["a list of four thousand million", [0x81, 0xa1, 0x61, 0xdd, 0xff, 0xff, 0xff, 0xff]],
    ["a map of four thousand million", [0xdf, 0xff, 0xff, 0xff, 0xff]],
    ["bytes of four thousand million", [0x81, 0xa1, 0x61, 0xc6, 0xff, 0xff, 0xff, 0xff]],
    ["text of 65535", [0x81, 0xa1, 0x61, 0xda, 0xff, 0xff]],
    ["a map whose last value is missing", [0x81, 0xa1, 0x61]],
  ])("%s that is not there is refused", (_name, bytes) => {
    expect(() => decodePayload(new Uint8Array(bytes))).toThrow(ProtocolError);
  });

  const nested = (depth: number) => {
    let value: object = {};
    for (let level = 1; level < depth; level++) value = { a: value };
    return encodeFrame(value).subarray(4);
  };

  test("the deepest that is allowed passes, one deeper does not", () => {
    expect(() => decodePayload(nested(MAX_DEPTH))).not.toThrow();
    expect(() => decodePayload(nested(MAX_DEPTH + 1))).toThrow("nested deeper");
  });

  test("a million brackets do not end the process", () => {
    const lists = new Uint8Array(1_000_000).fill(0x91);
    lists.set([0x81, 0xa1, 0x61]);
    expect(() => decodePayload(lists)).toThrow("nested deeper");
  });
});

describe("kinds", () => {
  test.each([
    ["nil", [0xc0]],
    ["a number", [0x2a]],
    ["text", [0xa1, 0x61]],
    ["a list", [0x91, 0x80]],
    ["bytes", [0xc4, 0x01, 0x00]],
  ])("a message that is %s is refused", (_name, bytes) => {
    expect(() => decodePayload(new Uint8Array(bytes))).toThrow("a message is a map");
  });

  test.each([0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xc7, 0xc8, 0xc9, 0xc1])(
    "tag %d, an extension or unused, is refused",
    (tag) => {
      const bytes = new Uint8Array(40);
      bytes.set([0x81, 0xa1, 0x61, tag, 1, 1]);
      expect(() => checkMsgpack(bytes)).toThrow("extension types");
    },
  );

  test.each([
    ["a map", [0x81, 0x80, 0x01]],
    ["a list", [0x81, 0x90, 0x01]],
    ["nil", [0x81, 0xc0, 0x01]],
    ["bytes", [0x81, 0xc4, 0x01, 0x61, 0x01]],
  ])("a key that is %s does not crash", (_name, bytes) => {
    attempt(new Uint8Array(bytes));
  });

  test("a field called __proto__ changes no prototype", () => {
    const key = new TextEncoder().encode("__proto__");
    const value = attempt(new Uint8Array([0x81, 0xa0 | key.length, ...key, 0x81, 0xa1, 0x78, 0x01]));
    expect((value as { readonly x?: unknown }).x).toBeUndefined();
    expect(({} as { readonly x?: unknown }).x).toBeUndefined();
  });
});

test("an error is met once: the reader of a bad frame is not asked again", () => {
  const reader = new FrameReader();
  reader.push(frameOf(new Uint8Array([0xc1])));
  expect(() => reader.next()).toThrow(ProtocolError);
});
