import { expect, test } from "bun:test";
import { DEFAULT_LIMITS, type LayerEvent, type LayerLimits } from "../spec/layer-entry.ts";
import { BLOCK, checksum } from "./block.ts";
import { readTarEvents } from "./tar-reader.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** A header block by hand, so that it may be wrong in any way. */
function headerBlock(type: string, name: string, size: number, mtime: string): Uint8Array {
  const block = new Uint8Array(BLOCK);
  block.set(bytes(name), 0);
  block.set(bytes("0000644\0"), 100);
  block.set(bytes("0000000\0"), 108);
  block.set(bytes("0000000\0"), 116);
  block.set(bytes(`${size.toString(8).padStart(11, "0")}\0`), 124);
  block.set(bytes(mtime), 136);
  block.set(bytes(type), 156);
  block.set(bytes("ustar\0"), 257);
  block.set(bytes(`${checksum(block).toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}

function extended(type: string, text: string): readonly Uint8Array[] {
  const content = new Uint8Array(Math.ceil(text.length / BLOCK) * BLOCK);
  content.set(bytes(text));
  return [headerBlock(type, "PaxHeaders/x", text.length, "00000000000\0"), content];
}

function record(keyword: string, value: string): string {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length;
  while (length !== `${length}`.length + rest.length) length = `${length}`.length + rest.length;
  return `${length}${rest}`;
}

/** What the archive says, or why it is refused. */
async function said(archive: Uint8Array, limits: LayerLimits, cut: number): Promise<unknown> {
  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let at = 0; at < archive.length; at += cut) yield archive.slice(at, at + cut);
  }
  try {
    const events: LayerEvent[] = [];
    for await (const some of readTarEvents(chunks(), limits)) events.push(...some);
    return events.map((event) =>
      event.type === "entry" ? { ...event.header, xattrs: [...event.header.xattrs] } : event,
    );
  } catch (error) {
    return error instanceof Error ? error.message : error;
  }
}

test("an extended header of times is read in one with its entry as it is read alone", async () => {
  const seed = Number(process.env["CTR_FUZZ_SEED"] ?? Date.now() % 1e9);
  let state = seed;
  const below = (most: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % most;
  };
  const one = (texts: readonly string[]) => texts[below(texts.length)] ?? "";
  const number = () =>
    one(["0", "1795292702", `${below(1e9)}`, "999999999999999", "1234567890123456", "1".repeat(19), "", "0x1", "-"]);
  const time = () =>
    one(["", "", "", "-"]) + number() + one(["", ".", ".5", ".123456789", ".0000000019", ".1a", ".-1", ". 1"]);
  const keyword = () =>
    one([
      "mtime",
      "atime",
      "ctime",
      "mtime",
      "atime",
      "utime",
      "path",
      "size",
      "uid",
      "time",
      "mtimes",
      "SCHILY.xattr.user.a",
    ]);
  const usual = () => one(["mtime", "atime", "ctime"]);
  let merged = 0;
  for (let round = 0; round < 1500; round++) {
    const isUsual = below(2) === 0;
    let text = "";
    for (let count = below(4); count >= 0; count--)
      text += record(isUsual ? usual() : keyword(), isUsual ? `${below(2e9)}.${below(1e9)}` : time());
    // Now and then a byte is another one.
    if (below(5) === 0) {
      const at = below(text.length);
      text = text.slice(0, at) + one(["0", "9", " ", "=", "\n", "m", "\0", "."]) + text.slice(at + 1);
    }
    const parts: Uint8Array[] = [];
    if (below(8) === 0) parts.push(...extended("L", "long name\0"));
    parts.push(...extended(one(["x", "x", "x", "x", "x", "g"]), text));
    if (below(10) === 0) parts.push(...extended(one(["x", "g", "K"]), record("mtime", "7.5")));
    if (below(20) === 0) parts.push(new Uint8Array(2 * BLOCK));
    const mtime = one(["00000000017\0", "00000000017\0", "0000000001x\0"]);
    parts.push(headerBlock(one(["0", "0", "5", "2", "V", "z"]), `name-${round}`, 0, mtime));
    if (below(6) > 0) parts.push(headerBlock("0", "last", 0, "00000000003\0"), new Uint8Array(2 * BLOCK));
    const archive = Buffer.concat(parts);
    // With a limit below a block nothing is read in one.
    const alone = await said(archive, { ...DEFAULT_LIMITS, paxBytes: BLOCK - 1 }, archive.length);
    expect(await said(archive, DEFAULT_LIMITS, archive.length), `seed ${seed}, round ${round}`).toEqual(alone);
    expect(await said(archive, DEFAULT_LIMITS, 700), `seed ${seed}, round ${round}, in pieces`).toEqual(alone);
    if (typeof alone !== "string") merged++;
  }
  // Enough of them are archives at all.
  expect(merged).toBeGreaterThan(300);
});

test("a time before 1970 keeps its fraction", async () => {
  const parts = [...extended("x", record("mtime", "-1.25")), headerBlock("0", "old", 0, "00000000000\0")];
  const [entry] = (await said(Buffer.concat(parts), DEFAULT_LIMITS, 4096)) as { mtimeNs: bigint }[];
  expect(entry?.mtimeNs).toBe(-1_250_000_000n);
});
