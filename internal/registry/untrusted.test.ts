/** Seeded random bytes for everything that reads a registry's answers: it parses, gives nothing, or throws a CtrError. */
import { expect, test } from "bun:test";
import { randomNumbers } from "../../test/lib/random.ts";
import { CtrError } from "../errors/error.ts";
import { digestOf } from "../spec/digest.ts";
import { parseToken } from "./authorization.ts";
import {
  parseChallenges,
  parseContentRange,
  parseMediaType,
  parseNextLink,
  parseRetryAfter,
  parseUploadRange,
} from "./headers.ts";
import { parseAddress, parseNetwork } from "./host-match.ts";
import { manifestView } from "./inspect-manifest.ts";
import { checkManifest, MANIFEST_TYPES } from "./manifest.ts";
import { errorOfAnswer, shown } from "./registry-error.ts";
import { parseTags } from "./repository.ts";
import { parseResults } from "./search.ts";

const ROUNDS = 4000;
const CONTROL = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

const PIECES = [
  "Bearer ",
  "Basic ",
  'realm="',
  "https://a.example/token",
  "http://[",
  '"',
  "\\",
  ",",
  "=",
  ";",
  " ",
  "\t",
  "<",
  ">",
  "rel=",
  "next",
  "bytes ",
  "bytes=",
  "0-",
  "-",
  "/",
  "*",
  "99999999999999999999",
  "-1",
  "NaN",
  "\x1b[31m",
  "\u202e",
  "\ud800",
  "\0",
  "\r\n",
  "é",
  "a".repeat(300),
  '{"errors":[',
  '{"code":',
  '"MANIFEST_UNKNOWN"',
  '"message":',
  "]}",
  "}",
  "[",
  "null",
  "true",
  "1e999",
  '{"token":',
  '"tags":',
  '"results":',
  '"schemaVersion":2,',
  '"manifests":',
  '"layers":',
  '"config":',
  '"mediaType":',
  '"__proto__":',
  "[".repeat(200),
  '{"a":'.repeat(50),
] as const;

function text(next: (below: number) => number): string {
  let made = "";
  for (let left = next(14); left > 0; left--) {
    made += next(3) === 0 ? String.fromCharCode(next(256)) : PIECES[next(PIECES.length)];
  }
  return made;
}

/** A document of the right kind with something wrong in it. */
function bent(next: (below: number) => number, document: unknown): string {
  const whole = JSON.stringify(document);
  const at = next(whole.length);
  switch (next(4)) {
    case 0:
      return whole.slice(0, at);
    case 1:
      return whole.slice(0, at) + text(next) + whole.slice(at);
    case 2:
      return whole.slice(0, at) + whole.slice(at + 1 + next(20));
    default:
      return JSON.stringify(document, (key, value) => (key !== "" && next(6) === 0 ? odd(next) : value));
  }
}

function odd(next: (below: number) => number): unknown {
  return [null, true, -1, 1e308, "", "\x1b]0;x\x07", [], {}, [[]], { digest: 1 }, "x".repeat(5000)][next(11)];
}

function survives(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(CtrError);
    expect((error as Error).message).not.toMatch(CONTROL);
    expect((error as Error).message.length).toBeLessThan(5000);
  }
}

test("headers: nothing throws, and what is found is well formed", () => {
  const next = randomNumbers(1);
  for (let round = 0; round < ROUNDS; round++) {
    const header = text(next);
    for (const { scheme, parameters } of parseChallenges(header)) {
      expect(scheme).toMatch(/^[!-~]+$/);
      expect(Object.getPrototypeOf(parameters)).toBeNull();
    }
    const range = parseContentRange(header);
    if (range !== undefined) expect(range.last).toBeGreaterThanOrEqual(range.first);
    expect(parseUploadRange(header) ?? 0).toBeGreaterThanOrEqual(0);
    expect(parseRetryAfter(header, 0) ?? 0).toBeGreaterThanOrEqual(0);
    expect(parseMediaType(header)).not.toMatch(/[^!-~]/);
    parseNextLink(header);
    parseAddress(header);
    parseNetwork(header);
  }
});

test("a header of a megabyte is no work", () => {
  const started = performance.now();
  for (const piece of ['Bearer a="', "<", "<a>;", '<a>; rel="', "a=b,", "\\", '"', " ", "Basic "]) {
    const header = piece.repeat((1 << 20) / piece.length);
    parseChallenges(header);
    parseNextLink(header);
  }
  // Milliseconds; what is quadratic would take hours.
  expect(performance.now() - started).toBeLessThan(4000);
});

test("error bodies: one harmless line, whatever came", () => {
  const next = randomNumbers(2);
  const answer = { errors: [{ code: "DENIED", message: "no \x1b[2J", detail: "d\u202e" }, { code: 1 }, null] };
  for (let round = 0; round < ROUNDS; round++) {
    const status = [400, 401, 403, 404, 405, 416, 429, 500, 503, 599, 999][next(11)] ?? 0;
    const error = errorOfAnswer(status, text(next), next(2) === 0 ? text(next) : bent(next, answer));
    expect(error.message).not.toMatch(CONTROL);
    expect(error.message.length).toBeGreaterThan(0);
    expect(error.message.length).toBeLessThan(5000);
    expect(shown(text(next)).length).toBeLessThanOrEqual(301);
  }
});

test("documents: manifests, tokens, lists of tags and of results parse or throw one harmless line", () => {
  const next = randomNumbers(3);
  const digest = digestOf("");
  const descriptor = {
    mediaType: MANIFEST_TYPES[1],
    digest,
    size: 2,
    platform: { os: "linux", architecture: "amd64" },
  };
  const manifest = { schemaVersion: 2, mediaType: MANIFEST_TYPES[1], config: descriptor, layers: [descriptor] };
  const index = { schemaVersion: 2, mediaType: MANIFEST_TYPES[0], manifests: [descriptor, descriptor] };
  const token = { token: "abc", expires_in: 300, refresh_token: "x", issued_at: "2026-01-01T00:00:00Z" };
  const encoder = new TextEncoder();
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = encoder.encode(
      next(4) === 0
        ? text(next)
        : bent(next, [manifest, index, token, { name: "a", tags: ["a", "b"] }, { results: [{ name: "a" }] }][next(5)]),
    );
    if (next(8) === 0) bytes[next(bytes.length + 1)] = 0xff;
    const type = ["", "application/json", ...MANIFEST_TYPES][next(6)] ?? "";
    survives(() => {
      const mediaType = checkManifest(bytes, type, "Get");
      expect(MANIFEST_TYPES).toContain(mediaType);
      JSON.stringify(manifestView({ mediaType, digest, bytes }));
    });
    survives(() => expect(parseToken(bytes, "Get").text).toMatch(/^[!-~]+$/));
    survives(() => expect(parseTags(bytes, "Get").every((tag) => /^\w[\w.-]{0,127}$/.test(tag))).toBe(true));
    survives(() => parseResults(bytes, "Get"));
  }
});

test.each<readonly [string, object, string, string]>([
  [
    "an image that is an index too",
    { schemaVersion: 2, manifests: [], layers: [] },
    "",
    "an image and an index at once",
  ],
  [
    "an index sent as an image",
    { schemaVersion: 2, manifests: [] },
    MANIFEST_TYPES[1] ?? "",
    "is not what its media type says",
  ],
  [
    "an image that calls itself an index",
    { mediaType: MANIFEST_TYPES[0], layers: [] },
    "",
    "is not what its media type says",
  ],
  [
    "two media types",
    { mediaType: MANIFEST_TYPES[3], layers: [] },
    MANIFEST_TYPES[1] ?? "",
    "is not what its media type says",
  ],
  ["schema 1", { schemaVersion: 1, fsLayers: [] }, "", "schema 1 is not supported"],
])("%s is refused", (_name, document, contentType, message) => {
  expect(() => checkManifest(new TextEncoder().encode(JSON.stringify(document)), contentType, "Get")).toThrow(message);
});

test("a manifest without a media type is known by its content", () => {
  const of = (document: object, type = "text/plain") =>
    checkManifest(new TextEncoder().encode(JSON.stringify(document)), type, "Get");
  expect(of({ schemaVersion: 2, layers: [] })).toBe("application/vnd.oci.image.manifest.v1+json");
  expect(of({ schemaVersion: 2, manifests: [] })).toBe("application/vnd.oci.image.index.v1+json");
  expect(of({ layers: [], mediaType: MANIFEST_TYPES[3] })).toBe("application/vnd.docker.distribution.manifest.v2+json");
});

test("a registry's words are Docker's line; escapes, bells and direction marks are gone", () => {
  const one = JSON.stringify({
    errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown", detail: { Tag: "x" } }],
  });
  expect(errorOfAnswer(404, "Not Found", one)).toMatchObject({
    kind: "not-found",
    code: "MANIFEST_UNKNOWN",
    message: "manifest unknown: manifest unknown",
    isTransient: false,
  });
  const evil = JSON.stringify({ errors: [{ code: "DENIED", message: "a\x1b]0;owned\x07\nb\u202ec" }] });
  expect(errorOfAnswer(403, "", evil).message).toBe("denied: a ]0;owned b c");
  expect(errorOfAnswer(502, "Bad Gateway", "<html>")).toMatchObject({
    kind: "unavailable",
    message: "received unexpected HTTP status: 502 Bad Gateway",
    isTransient: true,
  });
  expect(errorOfAnswer(429, "", '{"details":"pull rate limit"}').message).toBe("pull rate limit");
});
