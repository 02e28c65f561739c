import { expect, test } from "bun:test";
import { harmless } from "./fail.ts";

test.each([
  ["plain é text", "plain é text"],
  ["a\x1b[31mred", "a\\x1b[31mred"],
  ["two\nlines\r", "two\\nlines\\x0d"],
  ["tab\there", "tab\\there"],
  ["evil\u202etxt", "evil\\u202etxt"],
  ["c1\x9b31m", "c1\\x9b31m"],
])("%j is printed as %j", (text, expected) => {
  expect(harmless(text)).toBe(expected);
});
