/** Hostile layers: whatever an archive holds, it ends in one clear line and nothing outside its directory is touched. */
import { afterAll, describe, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readTarEvents } from "../../internal/archive/tar-reader.ts";
import { CtrError } from "../../internal/errors/error.ts";
import { unpackLayer } from "../../internal/snapshot/unpack.ts";
import { DEFAULT_LIMITS, type LayerLimits } from "../../internal/spec/layer-entry.ts";
import { tempEngine } from "../lib/engine.ts";
import { archive, damaged, END, paxHeader, type RawEntry, rawEntry } from "../lib/hostile-tar.ts";
import { needs } from "../lib/needs.ts";
import { randomNumbers } from "../lib/random.ts";
import { test } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";

const engine = tempEngine();
const { scratch } = engine;

/** What nobody may touch: beside the layers, above them, and where links of the archives lead. */
const world = `${scratch}/world`;
const layers = `${world}/layers`;
const lower = `${world}/lower`;
mkdirSync(`${world}/canary/dir`, { recursive: true });
mkdirSync(layers);
mkdirSync(`${lower}/dir`, { recursive: true });
writeFileSync(`${world}/canary/file`, "untouched", { mode: 0o640 });
writeFileSync(`${world}/canary/dir/file`, "untouched");
writeFileSync(`${lower}/dir/file`, "lower");
const untouched = tree(world, { without: ["layers"] });
const passwd = readFileSync("/etc/passwd", "utf8");

let count = 0;
const fresh = (name: string) => `${scratch}/${name}-${count++}`;

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += 4000) yield bytes.slice(at, at + 4000);
}

/** Unpacks and says how that ended: "unpacked", or the one line of the error. The world is checked in any case. */
async function outcome(bytes: Uint8Array, limits: LayerLimits = DEFAULT_LIMITS, below = [lower]): Promise<string> {
  const place = `${layers}/one`;
  mkdirSync(place);
  try {
    await unpackLayer(readTarEvents(pieces(bytes), limits), place, below, limits);
    return "unpacked";
  } catch (error) {
    if (!(error instanceof CtrError) || error.kind === "internal") throw error;
    expect(error.message).not.toContain("\n");
    return error.message;
  } finally {
    expect(readdirSync(layers)).toEqual(["one"]);
    rmSync(place, { recursive: true });
    expect(tree(world, { without: ["layers"] })).toEqual(untouched);
  }
}

const one = (entry: RawEntry) => archive(rawEntry(entry));
const many = (...entries: readonly RawEntry[]) => archive(...entries.map(rawEntry));

afterAll(() => expect(readFileSync("/etc/passwd", "utf8")).toBe(passwd));

describe("ways out", () => {
  const canary = `${world}/canary`;
  const up = "../../../canary/file";
  const leaves = "refused, the path leads out of the archive";
  const through = "refused, the archive writes through something that is not a directory";
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["a name with ..", one({ name: up, content: "evil" }), leaves],
    ["a name with .. inside", one({ name: `a/b/../../${up}`, content: "evil" }), leaves],
    ["a prefix with ..", one({ prefix: "../../..", name: "canary/file", content: "evil" }), leaves],
    ["a pax path with ..", archive(paxHeader([["path", up]]), rawEntry({ content: "evil" })), leaves],
    ["a GNU long name with ..", many({ type: "L", content: `${up}\0` }, { content: "evil" }), leaves],
    ["a whiteout with ..", one({ name: "../../../canary/.wh.file" }), leaves],
    [
      "a directory link",
      many({ type: "2", name: "out", linkname: canary }, { name: "out/file", content: "x" }),
      through,
    ],
    [
      "a relative link",
      many({ type: "2", name: "o", linkname: "../../canary" }, { name: "o/new", content: "x" }),
      through,
    ],
    [
      "a link to a link",
      many(
        { type: "2", name: "a", linkname: "/" },
        { type: "2", name: "b", linkname: "a" },
        { name: "b/x", content: "x" },
      ),
      through,
    ],
    [
      "a directory through a link",
      many({ type: "2", name: "d", linkname: canary }, { type: "5", name: "d/sub/" }),
      through,
    ],
    [
      "a device through a link",
      many({ type: "2", name: "d", linkname: canary }, { type: "3", name: "d/null" }, { type: "6", name: "d/fifo" }),
      through,
    ],
    [
      "a symlink through a link",
      many({ type: "2", name: "d", linkname: canary }, { type: "2", name: "d/l", linkname: "x" }),
      through,
    ],
    [
      "a hard link to an absolute name",
      one({ type: "1", name: "h", linkname: `${canary}/file` }),
      "not in this layer nor below it",
    ],
    ["a hard link with ..", one({ type: "1", name: "h", linkname: up }), leaves],
    [
      "a hard link through a link",
      many({ type: "2", name: "s", linkname: canary }, { type: "1", name: "h", linkname: "s/file" }),
      "refused",
    ],
    [
      "writing into a hard link of a symlink",
      many(
        { type: "2", name: "s", linkname: `${canary}/file` },
        { type: "1", name: "h", linkname: "s" },
        { name: "h", content: "evil" },
      ),
      "unpacked",
    ],
    [
      "a directory that becomes a link between two files",
      many(
        { type: "5", name: "d/" },
        { name: "d/file", content: "1" },
        { type: "2", name: "d", linkname: canary },
        { name: "d/file", content: "evil" },
      ),
      through,
    ],
    [
      "a link that becomes a directory",
      many({ type: "2", name: "d", linkname: canary }, { type: "5", name: "d/" }, { name: "d/file", content: "own" }),
      "unpacked",
    ],
    [
      "file over directory over symlink, again and again",
      many(
        ...[1, 2, 3, 4].flatMap((): RawEntry[] => [
          { type: "2", name: "x", linkname: canary },
          { type: "5", name: "x/" },
          { name: "x/file", content: "own" },
          { name: "x", content: "file" },
        ]),
      ),
      "unpacked",
    ],
    [
      "a whiteout through a link hides nothing",
      many({ type: "2", name: "d", linkname: canary }, { name: "d/.wh.file" }),
      "unpacked",
    ],
    [
      "an opaque mark through a link",
      many({ type: "2", name: "d", linkname: canary }, { name: "d/.wh..wh..opq" }),
      through,
    ],
    ["a whiteout of .", one({ name: ".wh.." }), "refused, not a whiteout"],
    ["a whiteout of ..", one({ name: "a/.wh..." }), "refused, not a whiteout"],
    ["a directory named like a whiteout", one({ name: ".wh.a/b", content: "x" }), "refused, not a whiteout"],
    ["an absolute name", one({ name: `${canary}/file`, content: "below the root" }), "unpacked"],
    ["an owner that is none", archive(paxHeader([["uid", "4294967295"]]), rawEntry({})), "no such owner: 4294967295:0"],
    [
      "an owner that would wrap around",
      archive(paxHeader([["gid", "4294967296"]]), rawEntry({})),
      "no such owner: 0:4294967296",
    ],
    ["a link to nothing", one({ type: "2", name: "l", linkname: "" }), "a link to nowhere"],
    ["a hard link to the root", one({ type: "1", name: "h", linkname: "./" }), "is a directory"],
    [
      "a hard link to a directory",
      many({ type: "5", name: "d/" }, { type: "1", name: "h", linkname: "d" }),
      "is a directory",
    ],
    ["the root as a file", one({ name: "./", content: "x" }), "unpacked"],
    ["a name of 300 bytes", archive(paxHeader([["path", "n".repeat(300)]]), rawEntry({})), "file name too long"],
    ["a NUL in a name", archive(paxHeader([["path", "a\0b"]]), rawEntry({})), "corrupt pax header (path)"],
  ];
  for (const [name, bytes, expected] of cases)
    test(`${name}: ${expected}`, async () => {
      const ended = await outcome(bytes);
      if (expected === "unpacked") expect(ended).toBe("unpacked");
      else expect(ended).toContain(expected);
    });

  test("overlayfs' marks and trusted attributes of an archive are nobody's", async () => {
    const place = fresh("marked");
    mkdirSync(place);
    const bytes = archive(
      paxHeader([
        ["SCHILY.xattr.trusted.overlay.opaque", "y"],
        ["SCHILY.xattr.trusted.overlay.redirect", "/etc"],
        ["SCHILY.xattr.user.overlay.opaque", "y"],
        ["SCHILY.xattr.user.kept", "1"],
      ]),
      rawEntry({ type: "5", name: "d/" }),
      rawEntry({ type: "3", name: "hole" }),
    );
    await unpackLayer(readTarEvents(pieces(bytes)), place, [lower]);
    expect(readdirSync(place)).toEqual(["d"]);
    const listed = Bun.spawnSync(["python3", "-c", "import os,sys; print(os.listxattr(sys.argv[1]))", `${place}/d`]);
    expect(listed.stdout.toString().trim()).toBe("['user.kept']");
  });
});

describe("limits", () => {
  const limit = (limits: Partial<LayerLimits>) => ({ ...DEFAULT_LIMITS, ...limits });
  const attribute = (name: string, size: number) => [`SCHILY.xattr.user.${name}`, "v".repeat(size)] as const;
  const cases: readonly (readonly [string, Uint8Array, Partial<LayerLimits>, string])[] = [
    ["entries", many({}, { name: "b" }, { name: "c" }), { entries: 2 }, "the archive has more than 2 entries"],
    [
      "bytes",
      many({ content: "x".repeat(600) }, { name: "b", content: "y".repeat(500) }),
      { unpackedBytes: 1000 },
      "the layer holds more than 1000 bytes",
    ],
    [
      "a path",
      archive(paxHeader([["path", "a/".repeat(3000)]]), rawEntry({ type: "5" })),
      {},
      "a path in the archive is longer than 4096 bytes",
    ],
    [
      "a link's target",
      archive(paxHeader([["linkpath", "t".repeat(5000)]]), rawEntry({ type: "2" })),
      {},
      "longer than 4096 bytes",
    ],
    [
      "an attribute",
      archive(paxHeader([attribute("a", 70_000)]), rawEntry({})),
      {},
      "attribute user.a is larger than 65536 bytes",
    ],
    [
      "attributes",
      archive(paxHeader(Array.from({ length: 300 }, (_, index) => attribute(`a${index}`, 1))), rawEntry({})),
      {},
      "more than 256 extended attributes",
    ],
    [
      "a header",
      archive(rawEntry({ type: "x", size: "77777777777\0" })),
      {},
      "a tar extension header is larger than 1048576 bytes",
    ],
    [
      "a long name",
      archive(rawEntry({ type: "L", size: "77777777777\0" })),
      {},
      "a tar extension header is larger than 1048576 bytes",
    ],
  ];
  for (const [name, bytes, limits, expected] of cases)
    test(`${name}: ${expected}`, async () => expect(await outcome(bytes, limit(limits))).toContain(expected));

  test("holes are not counted, but a file larger than the file system takes is refused by it", async () => {
    const sparse = (size: number) =>
      archive(
        paxHeader([
          ["GNU.sparse.major", "0"],
          ["GNU.sparse.minor", "1"],
          ["GNU.sparse.size", String(size)],
          ["GNU.sparse.map", `${size - 3},3`],
        ]),
        rawEntry({ content: "end" }),
      );
    expect(await outcome(sparse(1 << 30), limit({ unpackedBytes: 10 }))).toBe("unpacked");
    expect(await outcome(sparse(Number.MAX_SAFE_INTEGER))).toMatch(/file too large|invalid argument/);
  });

  test.if(needs("ctr"))("import: the limits of engine.toml hold, and nothing stays of what is refused", async () => {
    const config = fresh("engine.toml");
    writeFileSync(config, "[layer-limits]\nunpacked-bytes = 1000000\nentries = 50\n");
    const bomb = fresh("bomb.tar.gz");
    writeFileSync(bomb, Bun.gzipSync(Buffer.from(one({ name: "zeros", content: new Uint8Array(64 << 20) }))));
    const crowd = fresh("crowd.tar");
    writeFileSync(crowd, many(...Array.from({ length: 60 }, (_, index) => ({ name: `f${index}` }))));
    const before = await stored();
    for (const [path, expected] of [
      [bomb, "the layer holds more than 1000000 bytes"],
      [crowd, "the archive has more than 50 entries"],
    ] as const) {
      const result = await engine.ctrWith({ env: { CTR_CONFIG: config } }, "import", path, "bomb");
      expect(result.status).toBe(1);
      expect(result.stderr).toBe(`ctr: import ${path}: ${expected}\n`);
      expect(await stored()).toEqual(before);
    }
    writeFileSync(config, "[layer-limits]\nentries = 0\n");
    const wrong = await engine.ctrWith({ env: { CTR_CONFIG: config } }, "import", crowd);
    expect([wrong.status, wrong.stderr]).toEqual([
      1,
      `ctr: ${config}: layer-limits.entries is no number from 1 to 9007199254740991\n`,
    ]);
  });
});

/** What the store keeps besides its database. */
async function stored(): Promise<readonly string[]> {
  await engine.ok("images", "-q");
  return ["content/blobs/sha256", "layers", "ingest"].flatMap((name) => {
    try {
      return readdirSync(`${engine.root}/${name}`);
    } catch {
      return []; // nothing was ever put there
    }
  });
}

describe("what is no archive", () => {
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["cut in a header", one({}).subarray(0, 700), "unexpected end of archive"],
    ["cut in content", one({ content: "x".repeat(2000) }).subarray(0, 1500), "unexpected end of archive"],
    ["an extension header without an entry", archive(paxHeader([["path", "x"]])), "unexpected end of archive"],
    ["a size beyond all disks", one({ size: "77777777777\0" }), "unexpected end of archive"],
    [
      "a negative size",
      one({ size: Buffer.from([0xff, ...Array(11).fill(0xff)]).toString("latin1") }),
      "corrupt tar header",
    ],
    ["letters for digits", one({ mode: "rwxr-xr\0" }), "corrupt tar header (mode)"],
    ["a type that is none", one({ type: "Z" }), 'tar entry of unknown type "Z"'],
    [
      "a pax record without a length",
      archive(rawEntry({ type: "x", content: "path=x\n" }), rawEntry({})),
      "corrupt pax header",
    ],
    [
      "a pax record that is longer than the header",
      archive(rawEntry({ type: "x", content: "99 path=x\n" }), rawEntry({})),
      "corrupt pax header",
    ],
    ["a pax size that is none", archive(paxHeader([["size", "-1"]]), rawEntry({})), "corrupt pax header (size)"],
    ["a time that is none", archive(paxHeader([["mtime", "soon"]]), rawEntry({})), "corrupt pax header"],
    [
      "a sparse map that overlaps",
      archive(
        paxHeader([
          ["GNU.sparse.size", "10"],
          ["GNU.sparse.map", "0,3,1,3"],
        ]),
        rawEntry({ content: "abcdef" }),
      ),
      "corrupt map of a sparse file",
    ],
    [
      "a sparse map beyond the file",
      archive(
        paxHeader([
          ["GNU.sparse.size", "2"],
          ["GNU.sparse.map", "0,3"],
        ]),
        rawEntry({ content: "abc" }),
      ),
      "corrupt map of a sparse file",
    ],
    [
      "a sparse map of more pieces than there are",
      archive(
        paxHeader([
          ["GNU.sparse.major", "1"],
          ["GNU.sparse.minor", "0"],
          ["GNU.sparse.realsize", "10"],
        ]),
        rawEntry({ content: "99999999\n" }),
      ),
      "corrupt map of a sparse file",
    ],
    ["nothing", new Uint8Array(), "the archive is empty"],
    ["an end without a start", END, "unpacked"],
  ];
  for (const [name, bytes, expected] of cases)
    test(`${name}: ${expected}`, async () => expect(await outcome(bytes)).toContain(expected));
});

describe("load: what lies about its images", () => {
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const digest = `sha256:${"a".repeat(64)}`;
  const sha256 = (content: string) => `sha256:${new Bun.CryptoHasher("sha256").update(content).digest("hex")}`;
  const blob = (content: string) => ({ name: `blobs/${sha256(content).replace(":", "/")}`, content });
  const manifest = (fields: object) =>
    JSON.stringify([{ Config: "c.json", RepoTags: ["lying:1"], Layers: ["l.tar"], ...fields }]);
  const config = (diffIds: unknown) =>
    JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: diffIds } });
  const layer = { name: "l.tar", content: one({ name: "file" }) };
  const index = (fields: object) => JSON.stringify({ schemaVersion: 2, manifests: [fields] });
  const inner = JSON.stringify({ schemaVersion: 2, config: { digest, size: 2 }, layers: [] });
  const cases: readonly (readonly [string, readonly RawEntry[]])[] = [
    ["a manifest that is null", [{ name: "manifest.json", content: "null" }]],
    ["a manifest of nothing", [{ name: "manifest.json", content: "[]" }]],
    ["a manifest of null", [{ name: "manifest.json", content: "[null]" }]],
    ["a manifest without fields", [{ name: "manifest.json", content: "[{}]" }]],
    ["a manifest of wrong types", [{ name: "manifest.json", content: manifest({ Config: 3, Layers: {} }) }]],
    ["a manifest of a million brackets", [{ name: "manifest.json", content: deep }]],
    ["a manifest that is not UTF-8", [{ name: "manifest.json", content: new Uint8Array([0xff, 0xfe, 0x5b]) }]],
    ["a manifest that is a link", [{ name: "manifest.json", type: "2", linkname: "/etc/passwd" }]],
    ["a manifest that is a device", [{ name: "manifest.json", type: "3" }]],
    ["a manifest of 5 MB", [{ name: "manifest.json", content: " ".repeat(5 << 20) }]],
    [
      "a config that is no JSON",
      [{ name: "manifest.json", content: manifest({}) }, { name: "c.json", content: "{" }, layer],
    ],
    [
      "a config without layers",
      [{ name: "manifest.json", content: manifest({}) }, { name: "c.json", content: "{}" }, layer],
    ],
    [
      "a diff ID that is none",
      [{ name: "manifest.json", content: manifest({}) }, { name: "c.json", content: config(["sha256:../x"]) }, layer],
    ],
    [
      "diff IDs that are numbers",
      [{ name: "manifest.json", content: manifest({}) }, { name: "c.json", content: config([1]) }, layer],
    ],
    [
      "a diff ID of something else",
      [{ name: "manifest.json", content: manifest({}) }, { name: "c.json", content: config([digest]) }, layer],
    ],
    [
      "a name that is none",
      [
        { name: "manifest.json", content: manifest({ RepoTags: ["../../x:1"] }) },
        { name: "c.json", content: config([digest]) },
        layer,
      ],
    ],
    ["an index without its blob", [{ name: "index.json", content: index({ mediaType: "", digest, size: 2 }) }]],
    [
      "an index whose blob has another size",
      [{ name: "index.json", content: index({ mediaType: "", digest: sha256("{}"), size: 3 }) }, blob("{}")],
    ],
    [
      "an index whose blob has another digest",
      [
        { name: "index.json", content: index({ mediaType: "", digest, size: 2 }) },
        { name: `blobs/${digest.replace(":", "/")}`, content: "{}" },
      ],
    ],
    ["an index with a negative size", [{ name: "index.json", content: index({ mediaType: "", digest, size: -1 }) }]],
    [
      "a manifest in an index without its config",
      [
        { name: "index.json", content: index({ mediaType: "", digest: sha256(inner), size: inner.length }) },
        blob(inner),
      ],
    ],
    ["a name that leads out", [{ name: "../manifest.json", content: "[]" }]],
  ];
  for (const [name, entries] of cases)
    test(`${name} is refused in one line, and nothing stays`, async () => {
      const path = fresh("lying.tar");
      writeFileSync(path, many(...entries));
      const before = await stored();
      // As a file, where only headers are read at first, and as a pipe.
      for (const [stdin, operands] of [
        ["", ["load", "-i", path]],
        [readFileSync(path), ["load"]],
      ] as const) {
        const result = await engine.ctrWith({ stdin }, ...operands);
        expect(result.status).toBe(1);
        expect(result.stderr).toMatch(/^ctr: load.*: [^\n]+\n$/);
        expect(result.stderr).not.toMatch(/undefined|null is not|JSON Parse error: .*\n.*\n/);
      }
      expect(await stored()).toEqual(before);
    });
});

/** A valid archive with something of everything, to be damaged. */
const WHOLE = archive(
  rawEntry({ type: "5", name: "a/" }),
  rawEntry({ name: "a/b", content: "content of b" }),
  rawEntry({ type: "2", name: "link", linkname: "a" }),
  rawEntry({ type: "1", name: "hard", linkname: "a/b" }),
  paxHeader([
    ["path", "a/long"],
    ["mtime", "1.5"],
    ["SCHILY.xattr.user.x", "1"],
  ]),
  rawEntry({ content: "x".repeat(700) }),
  rawEntry({ name: "dir/.wh.other" }),
  rawEntry({ name: "a/.wh..wh..opq" }),
  rawEntry({ type: "6", name: "fifo" }),
  rawEntry({ type: "5", name: "b/" }),
  rawEntry({ type: "2", name: "b/up", linkname: "../.." }),
  rawEntry({ type: "1", name: "from-below", linkname: "dir/file" }),
);

/** Descriptors and threads of this process. */
const held = () => [readdirSync("/proc/self/fd").length, readdirSync("/proc/self/task").length];

describe("damage", () => {
  for (const seed of [1, 2, 3, 4]) {
    test(`a damaged archive is unpacked or refused in one line, and nothing is left open, seed ${seed}`, async () => {
      const next = randomNumbers(seed);
      expect(await outcome(WHOLE)).toBe("unpacked");
      const [fds = 0, threads = 0] = held();
      for (let round = 0; round < 200; round++) await outcome(damaged(WHOLE, next));
      const [fdsAfter = 0, threadsAfter = 0] = held();
      expect(fdsAfter).toBeLessThanOrEqual(fds);
      expect(threadsAfter).toBeLessThanOrEqual(threads + 2); // the runtime's own come and go
    });
  }

  // Cases that once went wrong, or nearly: each is the damage of a seed and a round.
  const kept = `${import.meta.dir}/../fixtures/hostile-layers`;
  for (const name of readdirSync(kept).sort()) {
    test(`kept case ${name}`, async () => {
      const [expected = "", base64 = ""] = readFileSync(`${kept}/${name}`, "utf8").trim().split("\n");
      expect(await outcome(Bun.gunzipSync(Buffer.from(base64, "base64")))).toContain(expected);
    });
  }
});
