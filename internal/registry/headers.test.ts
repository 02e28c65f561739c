import { expect, test } from "bun:test";
import {
  parseChallenges,
  parseContentRange,
  parseLength,
  parseMediaType,
  parseNextLink,
  parseRetryAfter,
  parseUploadRange,
} from "./headers.ts";

test.each<readonly [string, unknown]>([
  ["", []],
  ["Basic", [{ scheme: "basic", parameters: {} }]],
  ['Basic realm="a b"', [{ scheme: "basic", parameters: { realm: "a b" } }]],
  [
    'Bearer realm="https://a/t",service="r",scope="repository:x:pull,push"',
    [{ scheme: "bearer", parameters: { realm: "https://a/t", service: "r", scope: "repository:x:pull,push" } }],
  ],
  [
    'Negotiate, BEARER Realm = "https://a" , service=plain, Basic realm="q\\"uote"',
    [
      { scheme: "negotiate", parameters: {} },
      { scheme: "bearer", parameters: { realm: "https://a", service: "plain" } },
      { scheme: "basic", parameters: { realm: 'q"uote' } },
    ],
  ],
  [
    "Negotiate YII=, Basic realm=x",
    [
      { scheme: "negotiate", parameters: {} },
      { scheme: "basic", parameters: { realm: "x" } },
    ],
  ],
  // The first realm counts: a second one must not lead the password elsewhere.
  ['Bearer realm="https://a", realm="https://evil"', [{ scheme: "bearer", parameters: { realm: "https://a" } }]],
  ['Bearer realm="https://a', [{ scheme: "bearer", parameters: {} }]],
  [
    "Bearer __proto__=x",
    [{ scheme: "bearer", parameters: Object.assign(Object.create(null), { ["__proto__"]: "x" }) }],
  ],
])("the challenge %p", (header, wanted) => {
  expect(JSON.stringify(parseChallenges(header))).toBe(JSON.stringify(wanted));
});

test.each<readonly [string, string | undefined]>([
  ['</v2/a/tags/list?last=b&n=2>; rel="next"', "/v2/a/tags/list?last=b&n=2"],
  ["<https://r/x>; rel=next", "https://r/x"],
  ['<a>; rel="prev", <b>; title="x"; rel="next"', "b"],
  ['<a>; rel="prev next"', "a"],
  ['<a>; rel="nextish"', undefined],
  ["a; rel=next", undefined],
  ["", undefined],
])("the link %p", (header, wanted) => {
  expect(parseNextLink(header)).toBe(wanted);
});

test("ranges, lengths, delays, media types: what is not well formed is nothing", () => {
  expect(parseContentRange("bytes 5-9/10")).toEqual({ first: 5, last: 9, total: 10 });
  expect(parseContentRange("bytes 5-9/*")).toEqual({ first: 5, last: 9, total: undefined });
  for (const bad of [
    "",
    "bytes 9-5/10",
    "bytes 5-10/10",
    "bytes */10",
    "bytes 0-9999999999999999/*",
    "items 0-1/2",
    "bytes -1-2/3",
  ]) {
    expect(parseContentRange(bad)).toBeUndefined();
  }
  expect([parseUploadRange("0-1023"), parseUploadRange("bytes=0-9"), parseUploadRange("0-0")]).toEqual([1024, 10, 0]);
  for (const bad of ["", "1-2", "0-", "0-x", "0--1", "0-99999999999999999"])
    expect(parseUploadRange(bad)).toBeUndefined();
  expect([parseLength("0"), parseLength("12"), parseLength("-1"), parseLength("1e3"), parseLength(null)]).toEqual([
    0,
    12,
    undefined,
    undefined,
    undefined,
  ]);
  const nowMs = Date.UTC(2026, 0, 1);
  expect(parseRetryAfter("120", nowMs)).toBe(120_000);
  expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", nowMs)).toBe(30_000);
  expect(parseRetryAfter("Thu, 01 Jan 2025 00:00:30 GMT", nowMs)).toBe(0);
  for (const bad of ["", "-1", "1.5", "soon", "2026-01-01"]) expect(parseRetryAfter(bad, nowMs)).toBeUndefined();
  expect(parseMediaType("Application/JSON; charset=utf-8")).toBe("application/json");
  expect([parseMediaType(null), parseMediaType("a"), parseMediaType("a/b\x1b[31m")]).toEqual(["", "", ""]);
});
