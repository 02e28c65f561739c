import { expect, test } from "bun:test";
import { familiarReference, formatReference, parseReference, parseTarget, withDefaultTag } from "./reference.ts";

const digest = `sha256:${"a".repeat(64)}`;

test.each([
  ["alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"],
  ["user/app", "docker.io/user/app:latest", "user/app:latest"],
  ["docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["localhost/app", "localhost/app:latest", "localhost/app:latest"],
  ["localhost:5000/a/b/c:1", "localhost:5000/a/b/c:1", "localhost:5000/a/b/c:1"],
  ["example.com/library/app", "example.com/library/app:latest", "example.com/library/app:latest"],
  ["[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"],
  [`alpine@${digest}`, `docker.io/library/alpine@${digest}`, `alpine@${digest}`],
  [`alpine:1@${digest}`, `docker.io/library/alpine:1@${digest}`, `alpine:1@${digest}`],
  ["a__b-c.d--e", "docker.io/library/a__b-c.d--e:latest", "a__b-c.d--e:latest"],
  ["library/x/y", "docker.io/library/x/y:latest", "library/x/y:latest"],
])("%p is %p and is shown as %p", (text, full, familiar) => {
  const reference = withDefaultTag(parseReference(text));
  expect(formatReference(reference)).toBe(full);
  expect(familiarReference(reference)).toBe(familiar);
  expect(formatReference(parseReference(full))).toBe(full);
});

test.each([
  ["", "invalid reference format"],
  [":tag", "invalid reference format"],
  ["a:", "invalid reference format"],
  ["a//b", "invalid reference format"],
  ["/a", "invalid reference format"],
  ["a/", "invalid reference format"],
  ["-a", "invalid reference format"],
  ["a b", "invalid reference format"],
  ["../a", "invalid reference format"],
  ["a:-x", "invalid reference format"],
  [`a:${"t".repeat(129)}`, "invalid reference format"],
  ["a@sha256:123", "invalid reference format"],
  ["Alpine", "invalid reference format: repository name must be lowercase"],
  ["user/App", "invalid reference format: repository name must be lowercase"],
  ["UPPER/case", "invalid reference format: repository name must be lowercase"],
  ["a".repeat(256), "repository name must not be more than 255 characters"],
  ["a".repeat(64), `invalid repository name (${"a".repeat(64)}), cannot specify 64-byte hexadecimal strings`],
])("%p is refused: %s", (text, message) => expect(() => parseReference(text)).toThrow(message));

test("a tag cannot be made with a digest, nor be taken for one", () => {
  expect(() => parseTarget(`a@${digest}`)).toThrow("refusing to create a tag with a digest reference");
  expect(() => parseTarget("sha256:abc")).toThrow("refusing to create an ambiguous tag using digest algorithm as name");
});
