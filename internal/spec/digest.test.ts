import { expect, test } from "bun:test";
import { chainIds, digestOf, hexOf, parseDigest } from "./digest.ts";

test("a digest is sha256 and 64 lower-case digits, and nothing else reaches a path", () => {
  const digest = `sha256:${"0a".repeat(32)}`;
  expect(hexOf(parseDigest(digest))).toBe("0a".repeat(32));
  for (const text of [
    "",
    "sha256:",
    digest.toUpperCase(),
    `${digest}0`,
    ` ${digest}`,
    `${digest}\n`,
    "sha512:00",
    "sha256:../../etc/passwd",
  ]) {
    expect(() => parseDigest(text)).toThrow("invalid digest");
  }
});

test("chain ids follow image-spec config.md", () => {
  const [a, b, c] = ["a", "b", "c"].map(digestOf);
  if (a === undefined || b === undefined || c === undefined) throw new Error("three digests");
  const second = digestOf(`${a} ${b}`);
  expect(chainIds([a, b, c])).toEqual([a, second, digestOf(`${second} ${c}`)]);
  expect(chainIds([])).toEqual([]);
});
