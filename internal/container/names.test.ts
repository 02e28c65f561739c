import { expect, test } from "bun:test";
import { generateId, generateName, isId, isIdPrefix, parseName } from "./names.ts";

test.each(["web", "/web", "a1", "A.b-c_d", "0x"])("names: %s is a name", (name) => {
  expect(parseName(name)).toBe(name.replace("/", ""));
});

test.each(["", "a", "-web", ".web", "we b", "web/x", "//web", "wéb", "../x"])("names: %p is refused", (name) => {
  expect(() => parseName(name)).toThrow(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
});

test("names: a generated one passes the pattern, and is numbered only when others were taken", () => {
  for (let attempt = 0; attempt < 6; attempt++) {
    const name = generateName(attempt);
    expect(parseName(name)).toBe(name);
    expect(/\d/.test(name)).toBe(attempt >= 2);
  }
});

test("names: an id is 64 hexadecimal digits, and its beginnings are prefixes", () => {
  const id = generateId();
  expect(isId(id)).toBe(true);
  expect(isIdPrefix(id.slice(0, 12))).toBe(true);
  expect(isIdPrefix(id)).toBe(false);
  expect(isIdPrefix("ABC")).toBe(false);
  expect(isIdPrefix("")).toBe(false);
});
