import { expect, test } from "bun:test";
import { globMatcher } from "./glob.ts";

// As Go's path.Match answers, tried with `docker images` of these names.
test.each([
  ["app", "app", true],
  ["app", "apple", false],
  ["a*", "apple", true],
  ["a*", "a/b", false],
  ["*/*", "a/b", true],
  ["a?c", "abc", true],
  ["a?c", "a/c", false],
  ["v[12]", "v2", true],
  ["v[^1]", "v1", false],
  ["v[^1]", "v2", true],
  ["v[a-c]", "vb", true],
  ["v[c-a]", "vb", false],
  ["v[!1]", "v1", true],
  ["v[\\]]", "v]", true],
  ["v\\2", "v2", true],
  ["v\\*", "v2", false],
  ["a.b", "axb", false],
  ["a+(b)", "a+(b)", true],
  ["v[.+]", "v+", true],
  ["*", "", true],
  ["", "", true],
  ["", "a", false],
])("%s of %s: %s", (pattern, text, expected) => {
  expect(globMatcher(pattern)(text)).toBe(expected);
});

test.each(["[", "[]", "[]a]", "[^]", "[a", "[-a]", "[a-]", "a\\", "[\\"])("%s cannot be read", (pattern) => {
  expect(() => globMatcher(pattern)).toThrow("syntax error in pattern");
});
