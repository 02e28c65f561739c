import { describe, expect, test } from "bun:test";
import { formatPlatform, parsePlatform, platformRank } from "./platform.ts";

describe("platforms", () => {
  test.each([
    ["linux/amd64", "linux/amd64", 0],
    ["linux/amd64", "linux/amd64/v1", 0],
    ["linux/amd64", "linux/amd64/v2", undefined],
    ["linux/amd64/v3", "linux/amd64", 2],
    ["linux/amd64", "linux/arm64", undefined],
    ["linux/arm64", "linux/arm64/v8", 0],
    ["linux/arm64/v8", "linux/arm64", 0],
    ["linux/arm64/v9", "linux/arm64", 1],
    ["linux/arm", "linux/arm/v7", 0],
    ["linux/arm/v7", "linux/arm/v6", 1],
    ["linux/arm/v6", "linux/arm/v7", undefined],
    ["linux/arm/v5", "linux/arm", undefined],
    ["linux/s390x", "linux/s390x", 0],
    ["linux/s390x", "windows/s390x", undefined],
    ["aarch64", "linux/arm64", 0],
  ])("%s takes %s: %p", (wanted, offered, rank) => {
    const [os = "", architecture = "", variant] = offered.split("/");
    expect(platformRank(parsePlatform(wanted), { os, architecture, variant })).toBe(rank);
  });

  test.each([
    ["amd64", "linux/amd64"],
    ["linux/ARM/v7", "linux/arm/v7"],
    ["linux/x86_64", "linux/amd64"],
    ["linux/constructor", "linux/constructor"],
  ])("%s is %s", (text, expected) => expect(formatPlatform(parsePlatform(text))).toBe(expected));

  test.each([
    ["", "cannot parse platform specifier"],
    ["a/b/c/d", "cannot parse platform specifier"],
    ["linux/arm 64", "cannot parse platform specifier"],
    ["constructor", 'operating system "constructor" is not supported'],
    ["windows/amd64", 'operating system "windows" is not supported'],
  ])("%p is refused", (text, message) => expect(() => parsePlatform(text)).toThrow(message));
});
