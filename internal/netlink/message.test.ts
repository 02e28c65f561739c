import { expect, test } from "bun:test";
import { CtrError } from "../errors/error.ts";
import { decodeLink } from "./link.ts";
import {
  attribute,
  decodeAttributes,
  decodeError,
  decodeMessages,
  encodeMessage,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLMSG_ERROR,
  nested,
  nestedOf,
  numberOf,
  stamp,
  textOf,
  u8,
} from "./message.ts";
import { decodeAddress, decodeRoute } from "./route.ts";

test("message: header, fixed part and attributes survive encoding and decoding", () => {
  const bytes = encodeMessage(16, NLM_F_CREATE, new Uint8Array(16), [
    attribute(3, "ctr0"),
    attribute(4, 1500),
    attribute(9, u8(1)),
    nested(18, [attribute(1, "bridge"), nested(2, [attribute(5, 7)], new Uint8Array(16))]),
  ]);
  stamp(bytes, 42, true);
  const [message] = [...decodeMessages(bytes)];
  expect(message).toMatchObject({ type: 16, flags: NLM_F_CREATE | NLM_F_ACK | 1, sequence: 42 });
  const attributes = decodeAttributes(message?.payload ?? new Uint8Array(0), 16);
  expect(textOf(attributes, 3)).toBe("ctr0");
  expect(numberOf(attributes, 4)).toBe(1500);
  expect(attributes.get(9)).toEqual(u8(1));
  const info = nestedOf(attributes, 18);
  expect(textOf(info, 1)).toBe("bridge");
  expect(numberOf(decodeAttributes(info.get(2) ?? new Uint8Array(0), 16), 5)).toBe(7);
});

test("message: several in one datagram, each aligned", () => {
  const one = encodeMessage(1, 0, new Uint8Array(0), [attribute(1, u8(1))]);
  const two = encodeMessage(2, 0, new Uint8Array(4), []);
  const datagram = new Uint8Array([...one, ...two]);
  expect([...decodeMessages(datagram)].map(({ type, payload }) => [type, payload.length])).toEqual([
    [1, 8],
    [2, 4],
  ]);
});

test("message: the kernel's refusal with its words", () => {
  const words = attribute(1, "Device does not exist");
  const payload = new Uint8Array(4 + 16 + words.length);
  new DataView(payload.buffer).setInt32(0, -19, true);
  payload.set(words, 20);
  const message = { type: NLMSG_ERROR, flags: 0x300, sequence: 1, sender: 0, payload };
  expect(decodeError(message)).toEqual({ errno: 19, words: "Device does not exist" });
  expect(decodeError({ ...message, flags: 0 })).toEqual({ errno: 19, words: undefined });
});

/** A small generator with a known seed: a failure can be run again. */
function randomBytes(seed: number): (length: number) => Uint8Array {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
  return (length) => Uint8Array.from({ length }, next);
}

test("message: random and mutilated datagrams give messages or CtrError, nothing else", () => {
  const random = randomBytes(20261121);
  const good = encodeMessage(16, 0, new Uint8Array(16), [
    attribute(3, "veth0123456"),
    nested(18, [attribute(1, "veth"), nested(2, [attribute(1, 1)])]),
  ]);
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const [length = 0, at = 0, value = 0] = random(3);
    let bytes = random(length % 96);
    if (round % 2 === 0) {
      bytes = good.slice(0, round % 4 === 0 ? good.length : length % good.length);
      if (bytes.length > 0) bytes[at % bytes.length] = value;
    }
    try {
      for (const message of decodeMessages(bytes)) {
        decodeLink(message);
        decodeAddress(message);
        decodeRoute(message);
        if (message.type === NLMSG_ERROR) decodeError(message);
        for (const inner of decodeAttributes(message.payload, 16).values()) decodeAttributes(inner);
      }
    } catch (error) {
      expect(error).toBeInstanceOf(CtrError);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(100);
});
