import { describe, expect, test } from "bun:test";
import { randomFractions } from "../../test/lib/random.ts";
import { DEFAULT_LIMITS, type EntryHeader, type LayerEntry } from "../spec/layer-entry.ts";
import { parseTime } from "./pax.ts";
import { readTar, signedNumber } from "./tar-reader.ts";
import { type WritableEntry, writeTar } from "./tar-writer.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const NONE = new Uint8Array(0);

function header(fields: Partial<EntryHeader> & { name: Uint8Array }): EntryHeader {
  const rest = {
    kind: "file",
    linkname: NONE,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeNs: 0n,
    major: 0,
    minor: 0,
  } as const;
  return { ...rest, xattrs: new Map(), ...fields };
}

/** The archive cut into pieces of these sizes, over and over: nothing may depend on where chunks end. */
async function* pieces(archive: Uint8Array, ...sizes: number[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0, turn = 0; at < archive.length; turn++) {
    const size = sizes[turn % sizes.length] ?? archive.length;
    yield archive.slice(at, at + size);
    at += size;
  }
}

async function pack(entries: readonly WritableEntry[]): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(writeTar(entries)));
}

async function unpack(source: AsyncIterable<Uint8Array>): Promise<{ header: EntryHeader; content: Uint8Array }[]> {
  const found: { header: EntryHeader; content: Uint8Array }[] = [];
  for await (const entry of readTar(source)) {
    const content = Buffer.concat(await Array.fromAsync(entry.content));
    const { content: _, ...rest } = entry;
    found.push({ header: rest, content });
  }
  return found;
}

async function refused(archive: Uint8Array): Promise<string> {
  try {
    await unpack(pieces(archive, 1000));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "accepted";
}

const KINDS = ["file", "directory", "symlink", "link", "char", "block", "fifo"] as const;

function randomEntry(next: () => number): WritableEntry {
  const below = (limit: number) => Math.floor(next() * limit);
  const kind = KINDS[below(KINDS.length)] ?? "file";
  const name = new Uint8Array(1 + below(next() < 0.2 ? 600 : 40))
    .map(() => 1 + below(255))
    .filter((byte) => byte !== 0x2f);
  const isLink = kind === "symlink" || kind === "link";
  const isDevice = kind === "char" || kind === "block";
  const content = new Uint8Array(kind === "file" ? below(next() < 0.1 ? 300_000 : 1500) : 0).map(() => below(256));
  const xattrs = new Map<string, Uint8Array>();
  for (let count = below(3); count > 0; count--) {
    xattrs.set(
      `user.a${below(1000)}=`.replace("=", "x"),
      new Uint8Array(below(200)).map(() => below(256)),
    );
  }
  return {
    kind,
    name: name.length === 0 ? bytes("n") : name,
    linkname: isLink ? new Uint8Array(1 + below(300)).map(() => 1 + below(255)) : NONE,
    mode: below(0o10000),
    uid: below(next() < 0.2 ? 4294967295 : 65536),
    gid: below(next() < 0.2 ? 4294967295 : 65536),
    size: content.length,
    mtimeNs:
      BigInt(below(2 ** 40)) * 1_000_000_000n -
      100_000_000_000_000_000n +
      (next() < 0.5 ? BigInt(below(1_000_000_000)) : 0n),
    major: isDevice ? below(4096) : 0,
    minor: isDevice ? below(1048576) : 0,
    xattrs,
    content: [content.subarray(0, content.length / 2), content.subarray(content.length / 2)],
  };
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])("what is written is read back byte for byte, seed %p", async (seed) => {
  const next = randomFractions(seed);
  const entries = Array.from({ length: 40 }, () => randomEntry(next));
  const archive = await pack(entries);
  const found = await unpack(pieces(archive, 1 + Math.floor(next() * 700), 1 + Math.floor(next() * 70_000)));
  expect(found.length).toBe(entries.length);
  for (const [index, { content: written, ...entry }] of entries.entries()) {
    const name = entry.kind === "directory" ? Buffer.concat([entry.name, bytes("/")]) : Buffer.from(entry.name);
    const read = found[index];
    expect(read?.header).toEqual({ ...entry, name: expect.anything(), linkname: expect.anything() });
    expect(Buffer.from(read?.header.name ?? NONE)).toEqual(name);
    expect(Buffer.from(read?.header.linkname ?? NONE)).toEqual(Buffer.from(entry.linkname));
    expect(Buffer.compare(read?.content ?? NONE, Buffer.concat([...((written as Iterable<Uint8Array>) ?? [])]))).toBe(
      0,
    );
  }
});

test.each([1, 2, 3, 4, 5, 6])(
  "a damaged archive is an error or other entries, never a hang or a crash, seed %p",
  async (seed) => {
    const next = randomFractions(seed);
    const archive = await pack(Array.from({ length: 8 }, () => randomEntry(next)));
    for (let round = 0; round < 25; round++) {
      const damaged = archive.slice(0, 1 + Math.floor(next() * archive.length));
      for (let count = Math.floor(next() * 4); count > 0; count--)
        damaged[Math.floor(next() * damaged.length)] = Math.floor(next() * 256);
      expect(await refused(damaged)).toMatch(/^(accepted|.*(archive|tar|pax|sparse).*)$/);
    }
  },
);

test("the same entries give the same bytes, and a plain one needs no pax header", async () => {
  const entries = [{ ...header({ name: bytes("a"), size: 1 }), content: [bytes("x")] }];
  const archive = await pack(entries);
  expect(archive).toEqual(await pack(entries));
  expect(archive.length).toBe(4 * 512);
});

test("content that is shorter or longer than its size is refused while writing", async () => {
  await expect(pack([{ ...header({ name: bytes("a"), size: 3 }), content: [bytes("xy")] }])).rejects.toThrow(
    "a: changed while it was read",
  );
  await expect(pack([{ ...header({ name: bytes("a"), size: 1 }), content: [bytes("xy")] }])).rejects.toThrow(
    "a: changed while it was read",
  );
});

test("entries whose content nobody reads are passed over", async () => {
  const big = { ...header({ name: bytes("big"), size: 700_000 }), content: [new Uint8Array(700_000)] };
  const archive = await pack([big, header({ name: bytes("next") })]);
  const names: string[] = [];
  for await (const entry of readTar(pieces(archive, 4096))) names.push(new TextDecoder().decode(entry.name));
  expect(names).toEqual(["big", "next"]);
});

test("everything after the end mark is read too, so that a digest over the stream is whole", async () => {
  let read = 0;
  const archive = Buffer.concat([await pack([header({ name: bytes("a") })]), new Uint8Array(8192)]);
  async function* counted() {
    for await (const chunk of pieces(archive, 512)) {
      read += chunk.length;
      yield chunk;
    }
  }
  await unpack(counted());
  expect(read).toBe(archive.length);
});

describe("what is no archive is told in one line", () => {
  test.each([
    ["nothing", NONE, "the archive is empty"],
    ["a short file", bytes("hello\n"), "not a tar archive"],
    ["a long file", bytes("hello\n".repeat(1000)), "not a tar archive"],
  ])("%s", async (_, archive, message) => expect(await refused(archive)).toBe(message));

  test("an archive that stops in the middle of a file", async () => {
    const archive = await pack([{ ...header({ name: bytes("a"), size: 2000 }), content: [new Uint8Array(2000)] }]);
    expect(await refused(archive.slice(0, 1500))).toBe("unexpected end of archive");
    expect(await refused(archive.slice(0, 2100))).toBe("unexpected end of archive");
  });

  test("a header whose checksum is wrong", async () => {
    const archive = await pack([header({ name: bytes("a") }), header({ name: bytes("b") })]);
    archive[512] = 0x7a;
    expect(await refused(archive)).toBe("corrupt tar header (checksum)");
  });

  test("more entries, or a longer path, than allowed", async () => {
    const archive = await pack([header({ name: bytes("a") }), header({ name: bytes("b") })]);
    const drain = async (entries: AsyncIterable<LayerEntry>) => void (await Array.fromAsync(entries));
    await expect(drain(readTar(pieces(archive, 512), { ...DEFAULT_LIMITS, entries: 1 }))).rejects.toThrow(
      "more than 1 entries",
    );
    const long = await pack([header({ name: bytes("long/name/in/there") })]);
    await expect(drain(readTar(pieces(long, 512), { ...DEFAULT_LIMITS, pathBytes: 10 }))).rejects.toThrow(
      "longer than 10 bytes",
    );
  });

  test("a pax header that would not fit into memory", async () => {
    const archive = await pack([header({ name: bytes("x".repeat(200)) })]);
    // The size field of the pax header, and its checksum made right again.
    archive.set(bytes("77777777777"), 124);
    archive.fill(0x20, 148, 156);
    const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    archive.set(bytes(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
    expect(await refused(archive)).toContain("extension header is larger than");
  });
});

test.each([
  ["octal", bytes("0000644\0"), 0o644],
  ["octal with blanks", bytes("   644 \0"), 0o644],
  ["nothing", new Uint8Array(8), 0],
  ["base-256", new Uint8Array([0x80, 0, 0, 0, 0, 1, 0, 2]), 65538],
  ["base-256, negative", new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), -2],
])("a number field in %s", (_, field, value) => expect(signedNumber(field, 0, 8, "x")).toBe(value));

test.each([
  ["0", 0n],
  ["1.5", 1_500_000_000n],
  ["-1.5", -1_500_000_000n],
  ["1700000000.123456789", 1_700_000_000_123_456_789n],
  ["1.1234567899", 1_123_456_789n],
])("a pax time %p", (text, ns) => expect(parseTime(text)).toBe(ns));

describe("archives of GNU tar", () => {
  async function gnu(
    directory: string,
    ...operands: string[]
  ): Promise<{ header: EntryHeader; content: Uint8Array }[]> {
    const made = Bun.spawnSync(["tar", "-C", directory, ...operands, "-cf", "-", "."]);
    expect(made.stderr.toString()).toBe("");
    return await unpack(pieces(new Uint8Array(made.stdout), 10_000));
  }

  test.each([["--format=gnu"], ["--format=pax"], ["--format=ustar"]])(
    "%s: long names and sparse files",
    async (format) => {
      const directory = (await Bun.$`mktemp -d`.text()).trim();
      try {
        const long =
          format === "--format=ustar" ? `${"d".repeat(90)}/${"f".repeat(90)}` : `${"d".repeat(150)}/${"f".repeat(180)}`;
        await Bun.write(`${directory}/${long}`, "content");
        const sparse = Buffer.concat([new Uint8Array(200_000), bytes("middle"), new Uint8Array(300_000), bytes("end")]);
        await Bun.write(`${directory}/sparse`, sparse);
        await Bun.$`fallocate --dig-holes ${directory}/sparse`;
        const flags = format === "--format=ustar" ? [format] : [format, "--sparse"];
        const found = await gnu(directory, ...flags);
        const named = (name: string) => found.find((entry) => new TextDecoder().decode(entry.header.name) === name);
        expect(new TextDecoder().decode(named(`./${long}`)?.content)).toBe("content");
        expect(named("./sparse")?.header.size).toBe(sparse.length);
        expect(Buffer.compare(named("./sparse")?.content ?? NONE, sparse)).toBe(0);
      } finally {
        await Bun.$`rm -rf ${directory}`;
      }
    },
  );
});
