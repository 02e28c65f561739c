import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import type { EntryKind } from "../spec/layer-entry.ts";
import { type Fd, O_DIRECTORY, O_RDONLY, open } from "../sys/fd.ts";
import { type CopyEntry, HOLE, readTree } from "./copy-source.ts";
import { writeTree } from "./copy-target.ts";
import { canonical, InsideContainer, look } from "./copy-view.ts";

let home: string;
let root: Fd;

/** A pretend container's root, and beside it what must never be touched. */
beforeEach(() => {
  home = mkdtempSync("/tmp/ctr-copy-");
  mkdirSync(`${home}/root/to`, { recursive: true });
  mkdirSync(`${home}/outside/dir`, { recursive: true });
  writeFileSync(`${home}/outside/file`, "outside\n");
  root = open(`${home}/root`, O_RDONLY | O_DIRECTORY);
});

afterEach(() => {
  root.close();
  rmSync(home, { recursive: true });
});

function entry(kind: EntryKind, name: string, content = "", linkname = ""): CopyEntry {
  const bytes = new TextEncoder().encode(content);
  return {
    kind,
    name: new TextEncoder().encode(name),
    linkname: new TextEncoder().encode(linkname),
    mode: kind === "directory" ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    size: bytes.length,
    mtimeNs: 1_500_000_000_123_456_789n,
    major: 0,
    minor: 0,
    xattrs: new Map(),
    content: [bytes],
  };
}

async function* all(entries: readonly CopyEntry[]): AsyncGenerator<CopyEntry, void, undefined> {
  yield* entries;
}

const write = (...entries: readonly CopyEntry[]) =>
  writeTree(all(entries), { place: new InsideContainer(root, "/to"), ownership: "own", shown: "/to" });

describe("writing", () => {
  test("directories are merged, files replaced, times set last", async () => {
    mkdirSync(`${home}/root/to/d`);
    writeFileSync(`${home}/root/to/d/old`, "old");
    writeFileSync(`${home}/root/to/d/f`, "before, and longer");
    await write(entry("directory", "d"), entry("file", "d/f", "after"), entry("file", "implied/x/y", "z"));
    expect(readdirSync(`${home}/root/to/d`).sort()).toEqual(["f", "old"]);
    expect(readFileSync(`${home}/root/to/d/f`, "utf8")).toBe("after");
    expect(readFileSync(`${home}/root/to/implied/x/y`, "utf8")).toBe("z");
    expect(lstatSync(`${home}/root/to/d`, { bigint: true }).mtimeNs).toBe(1_500_000_000_123_456_789n);
    expect(lstatSync(`${home}/root/to/d/f`, { bigint: true }).mtimeNs).toBe(1_500_000_000_123_456_789n);
  });

  test("links are made, and replaced rather than followed", async () => {
    await write(entry("symlink", "l", "", `${home}/outside/file`), entry("file", "l", "mine"));
    expect(readFileSync(`${home}/outside/file`, "utf8")).toBe("outside\n");
    expect(readFileSync(`${home}/root/to/l`, "utf8")).toBe("mine");
    await write(entry("file", "a", "1"), entry("link", "b", "", "a"));
    expect(statSync(`${home}/root/to/a`).ino).toBe(statSync(`${home}/root/to/b`).ino);
  });

  test.each([
    [[entry("directory", "x"), entry("file", "x", "1")], 'cannot overwrite directory "/to/x" with non-directory "/to"'],
    [[entry("file", "x", "1"), entry("directory", "x")], 'cannot overwrite non-directory "/to/x" with directory "/to"'],
    [[entry("file", "../x", "1")], '"../x" is outside of "/to"'],
    [[entry("file", "a/../../x", "1")], 'is outside of "/to"'],
    [[entry("link", "x", "", "../../outside/file")], 'is outside of "/to"'],
    [[entry("file", ".", "1")], 'cannot overwrite directory "/to" with non-directory'],
    [[{ ...entry("file", "x", "1"), size: 5 }], "x: changed while it was read"],
  ])("refused: %#", async (entries, why) => {
    await expect(write(...entries)).rejects.toThrow(why);
    expect(existsSync(`${home}/root/x`)).toBe(false);
  });

  test("zeros become holes, wherever they come from", async () => {
    const zeros = new Uint8Array(1 << 20);
    const sparse = { ...entry("file", "s"), size: 3 << 20, content: [HOLE, zeros, new Uint8Array(1 << 20).fill(1)] };
    await write(sparse, { ...entry("file", "end"), size: 1 << 20, content: [zeros] });
    expect(statSync(`${home}/root/to/s`).size).toBe(3 << 20);
    expect(statSync(`${home}/root/to/s`).blocks * 512).toBeLessThan(2 << 20);
    expect(statSync(`${home}/root/to/end`)).toMatchObject({ size: 1 << 20 });
    expect(readFileSync(`${home}/root/to/s`).subarray(-1)[0]).toBe(1);
  });
});

test("paths: links are followed inside the root, and what is not there stays as it is", () => {
  symlinkSync("/to", `${home}/root/l`);
  symlinkSync("../../../../l/x", `${home}/root/to/up`);
  symlinkSync("loop", `${home}/root/loop`);
  expect(canonical(root, "/l/a/b")).toBe("/to/a/b");
  expect(canonical(root, "/to/up/y")).toBe("/to/x/y");
  expect(look(root, "/l").target).toBe("/to");
  expect(look(root, "/l/").target).toBeUndefined();
  expect(() => canonical(root, "/loop")).toThrow("too many links");
});

describe("random archives, seeded", () => {
  /** xorshift32: the same archives every time. */
  function random(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
  }

  test("whatever an archive holds, everything outside the root stays as it was", async () => {
    const next = random(20261121);
    const pick = <T>(list: readonly [T, ...T[]]): T => list[next(list.length)] ?? list[0];
    const part = () => pick(["a", "b", "c", "..", ".", "", "to", "outside"]);
    const path = () => Array.from({ length: 1 + next(4) }, part).join("/");
    const target = () => pick([path(), `/${path()}`, `${home}/outside`, `../../${path()}`, "../../../outside/dir"]);
    const kinds: readonly [EntryKind, ...EntryKind[]] = [
      "file",
      "file",
      "directory",
      "symlink",
      "symlink",
      "link",
      "fifo",
    ];
    let written = 0;
    for (let round = 0; round < 400; round++) {
      for (let count = 0; count < 8; count++) {
        const kind = pick(kinds);
        const made = entry(kind, path(), kind === "file" ? "from the archive" : "", kind === "file" ? "" : target());
        try {
          await write(made);
          written++;
        } catch (error) {
          if (!(error instanceof Error) || /descriptor used|undefined|not a function/.test(error.message)) throw error;
        }
      }
      if (round % 10 === 0) rmSync(`${home}/root/to`, { recursive: true, force: true });
      mkdirSync(`${home}/root/to`, { recursive: true });
    }
    expect(written).toBeGreaterThan(800);
    expect(readdirSync(home).sort()).toEqual(["outside", "root"]);
    expect(readdirSync(`${home}/outside`, { recursive: true }).sort()).toEqual(["dir", "file"]);
    expect(readFileSync(`${home}/outside/file`, "utf8")).toBe("outside\n");
  });
});

test("reading: a tree comes out as it is, in order, links to one file as links", async () => {
  const from = `${home}/from`;
  mkdirSync(`${from}/b/c`, { recursive: true });
  writeFileSync(`${from}/a`, "content");
  symlinkSync("nowhere", `${from}/l`);
  const { linkSync } = await import("node:fs");
  linkSync(`${from}/a`, `${from}/z`);
  using parent = open(home, O_RDONLY | O_DIRECTORY);
  const entries: string[] = [];
  for (const { kind, name, linkname, content } of readTree(parent, Buffer.from("from"), Buffer.from("to"))) {
    let text = "";
    for (const piece of (content ?? []) as Iterable<Uint8Array>) text += new TextDecoder().decode(piece);
    entries.push(`${kind} ${new TextDecoder().decode(name)} ${new TextDecoder().decode(linkname)}${text}`.trim());
  }
  expect(entries).toEqual([
    "directory to",
    "file to/a content",
    "directory to/b",
    "directory to/b/c",
    "symlink to/l nowhere",
    "link to/z to/a",
  ]);
  expect(readlinkSync(`${from}/l`)).toBe("nowhere");
});
