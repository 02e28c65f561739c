import { expect, test } from "bun:test";
import { DetachWatch, parseDetachKeys } from "./detach-keys.ts";

const bytes = (...codes: number[]) => new Uint8Array(codes);
const watch = () => new DetachWatch(parseDetachKeys("ctrl-p,ctrl-q"));

test.each([
  ["ctrl-p,ctrl-q", [16, 17]],
  ["a,b", [97, 98]],
  ["ctrl-@", [0]],
  ["ctrl-[", [27]],
  ["ctrl-_,x", [31, 120]],
])("detach-keys: %s", (text, codes) => {
  expect([...parseDetachKeys(text)]).toEqual(codes);
});

test.each(["ctrl-P", "ctrl-1", "ab", "", "a,,b", "é"])("detach-keys: %p is no sequence", (text) => {
  expect(() => parseDetachKeys(text)).toThrow(`invalid detach keys (${text})`);
});

test("detach-keys: ordinary input goes through untouched", () => {
  const chunk = bytes(104, 105);
  expect(watch().push(chunk)).toEqual({ data: chunk, isDetached: false });
});

test("detach-keys: the sequence is found across chunks, and what follows it is dropped", () => {
  const keys = watch();
  expect(keys.push(bytes(97, 16))).toEqual({ data: bytes(97), isDetached: false });
  expect(keys.push(bytes(17, 98))).toEqual({ data: bytes(), isDetached: true });
});

test("detach-keys: a false start is handed on, and may itself begin the sequence", () => {
  const keys = watch();
  expect(keys.push(bytes(16))).toEqual({ data: bytes(), isDetached: false });
  expect(keys.push(bytes(97))).toEqual({ data: bytes(16, 97), isDetached: false });
  expect(keys.push(bytes(16, 16, 98))).toEqual({ data: bytes(16, 16, 98), isDetached: false });
  expect(keys.push(bytes(16, 16, 17))).toEqual({ data: bytes(16), isDetached: true });
});
