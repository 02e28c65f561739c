import { expect, test } from "bun:test";
import { absoluteKeepingEnd, assertsDirectory, followed, planCopy, splitEntry, splitOperand } from "./copy-path.ts";

test.each([
  ["web:/etc", "web", "/etc"],
  ["web:etc", "web", "etc"],
  ["web:", "web", ""],
  ["web:a:b", "web", "a:b"],
  ["/tmp/a:b", undefined, "/tmp/a:b"],
  ["./a:b", undefined, "./a:b"],
  [".a:b", undefined, ".a:b"],
  ["file", undefined, "file"],
  ["-", undefined, "-"],
])("copy-path: operand %p", (text, container, path) => {
  expect(splitOperand(text)).toEqual({ container, path });
});

test.each([
  ["", "/"],
  ["/", "/"],
  [".", "/."],
  ["a/../b/", "/b/"],
  ["../../etc/.", "/etc/."],
  ["/a//b/./c", "/a/b/c"],
  ["/..", "/"],
])("copy-path: %p from the root is %p", (path, absolute) => {
  expect(absoluteKeepingEnd(path)).toBe(absolute);
});

test("copy-path: relative paths start at the directory, which is no text to be cleaned away", () => {
  expect(absoluteKeepingEnd("x/.", "/home/me")).toBe("/home/me/x/.");
  expect(absoluteKeepingEnd("../x", "/home/me")).toBe("/home/x");
});

test.each([
  ["/a/b", "/a", "b"],
  ["/a/b/", "/a", "b"],
  ["/a/b/.", "/a/b", "."],
  ["/a", "/", "a"],
  ["/", "/", "/"],
])("copy-path: %p is split", (path, directory, base) => {
  expect(splitEntry(path)).toEqual({ directory, base });
});

test.each([
  ["x/", true],
  ["x/.", true],
  [".", true],
  ["x", false],
  ["x.", false],
])("copy-path: %p must be a directory: %p", (path, answer) => {
  expect(assertsDirectory(path)).toBe(answer);
});

test("copy-path: what a followed link keeps of what was asked for", () => {
  expect(followed("/link", "/target")).toEqual({ path: "/target", rename: "link" });
  expect(followed("/link/", "/target")).toEqual({ path: "/target/", rename: "link" });
  expect(followed("/link/.", "/target")).toEqual({ path: "/target/.", rename: undefined });
  expect(followed("/a/x", "/b/x")).toEqual({ path: "/b/x", rename: undefined });
});

/** The table of docker-cp(1): source, destination, what it becomes. */
test.each([
  ["f", false, "/d/new", "absent", { directory: "/d", name: "new" }],
  ["f", false, "/d/new/", "absent", "no such directory"],
  ["f", false, "/d/new/.", "absent", "no such directory"],
  ["f", false, "/d/g", "other", { directory: "/d", name: "g" }],
  ["f", false, "/d", "directory", { directory: "/d", name: "f" }],
  ["s", true, "/d/new", "absent", { directory: "/d", name: "new" }],
  ["s", true, "/d/new/", "absent", { directory: "/d", name: "new" }],
  ["s", true, "/d/g", "other", "cannot copy directory"],
  ["s", true, "/d", "directory", { directory: "/d", name: "s" }],
  [".", true, "/d", "directory", { directory: "/d", name: "." }],
  [".", true, "/d/new", "absent", { directory: "/d", name: "new" }],
  [".", true, "/d/g", "other", "cannot copy directory"],
] as const)("copy-path: %p (directory: %p) to %p, which is %s", (name, isDirectory, path, kind, outcome) => {
  const plan = () => planCopy(name, isDirectory, { path, kind });
  if (typeof outcome === "string") expect(plan).toThrow(outcome);
  else expect(plan()).toEqual(outcome);
});
