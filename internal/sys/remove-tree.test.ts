import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { AT_FDCWD, type Fd, O_DIRECTORY, O_RDONLY, open, openat } from "./fd.ts";
import { mkdirat, removeTree } from "./file.ts";

// On a machine that is busy with other tests they take longer than the runner's five seconds.
setDefaultTimeout(30_000);

let directory: string;

beforeEach(() => {
  directory = mkdtempSync("/tmp/ctr-remove-");
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a tree goes with everything in it, what its links point to stays", () => {
  mkdirSync(`${directory}/tree/a/b`, { recursive: true });
  mkdirSync(`${directory}/kept`);
  writeFileSync(`${directory}/kept/file`, "");
  writeFileSync(`${directory}/tree/a/file`, "");
  symlinkSync(`${directory}/kept`, `${directory}/tree/a/link`);
  removeTree(AT_FDCWD, `${directory}/tree`);
  expect(readdirSync(directory)).toEqual(["kept"]);
  expect(existsSync(`${directory}/kept/file`)).toBe(true);
});

test("the way to the tree may lead through a link, the tree itself is a link only by its name", () => {
  mkdirSync(`${directory}/real/tree/a`, { recursive: true });
  symlinkSync("real", `${directory}/link`);
  removeTree(AT_FDCWD, `${directory}/link/tree`);
  expect(readdirSync(`${directory}/real`)).toEqual([]);
  removeTree(AT_FDCWD, `${directory}/link`);
  expect(readdirSync(directory)).toEqual(["real"]);
});

test("what is missing is fine", () => {
  removeTree(AT_FDCWD, `${directory}/no`);
  removeTree(AT_FDCWD, `${directory}/no/way`);
});

test("a tree deeper than descriptors last goes too", () => {
  let at = open(directory, O_RDONLY | O_DIRECTORY);
  for (let depth = 0; depth < 1500; depth++) {
    mkdirat(at.number, "d", 0o700);
    const next: Fd = openat(at.number, "d", O_RDONLY | O_DIRECTORY);
    at.close();
    at = next;
  }
  at.close();
  removeTree(AT_FDCWD, `${directory}/d`);
  expect(readdirSync(directory)).toEqual([]);
}, 30_000);

test("several processes may remove the same tree at once", async () => {
  for (let at = 0; at < 400; at++) mkdirSync(`${directory}/tree/${at}/a/b`, { recursive: true });
  const source = `import { removeTree } from ${JSON.stringify(`${import.meta.dir}/file.ts`)};
    await Bun.stdin.text();
    removeTree(-100, ${JSON.stringify(`${directory}/tree`)});`;
  const command = [process.execPath, "-e", source];
  const removers = Array.from({ length: 4 }, () => Bun.spawn(command, { stdin: "pipe", stderr: "pipe" }));
  // All of them wait for the end of their input, so that none has done it before the others begin.
  for (const { stdin } of removers) await stdin.end();
  const ends = await Promise.all(
    removers.map(async (one) => [await one.exited, await new Response(one.stderr).text()]),
  );
  expect(ends).toEqual(removers.map(() => [0, ""]));
  expect(readdirSync(directory)).toEqual([]);
}, 30_000);
