/** Writing tar streams: ustar, with a pax header before an entry that ustar cannot say exactly (pax(1)). */
import { CtrError } from "../errors/error.ts";
import { type EntryHeader, type EntryKind, HELD_CHUNKS } from "../spec/layer-entry.ts";
import { BLOCK, checksum } from "./block.ts";
import { encodeName } from "./pax.ts";

/** An entry to write; its content is exactly `size` bytes, and may be left out when `size` is 0. */
export interface WritableEntry extends EntryHeader {
  readonly content?: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /** Instead of `content`, without a copy: puts what comes next into `into` and returns how much, 0 at the end. */
  readonly read?: (into: Uint8Array) => number;
}

/** What is written is gathered in chunks of this size. */
const CHUNK = 256 * 1024;

export interface WriteOptions {
  /** The memory of a chunk is used again after `HELD_CHUNKS` others, for readers who are done with it by then. */
  readonly inTurns?: boolean;
}

/** The tar stream of `entries`, with the two zero blocks at its end. The same entries give the same bytes. */
export async function* writeTar(
  entries: AsyncIterable<WritableEntry> | Iterable<WritableEntry>,
  { inTurns = false }: WriteOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const used: Uint8Array[] = [];
  let turn = 0;
  const nextChunk = () => {
    if (!inTurns) return new Uint8Array(CHUNK);
    const chunk = used[turn] ?? new Uint8Array(CHUNK);
    used[turn] = chunk;
    turn = (turn + 1) % (HELD_CHUNKS + 2);
    return chunk;
  };
  let chunk = nextChunk();
  let filled = 0;
  /** True if a small piece does not fit into the chunk, which must go out first. */
  const isFull = (size: number) => filled + size > CHUNK;
  const flush = () => {
    const full = chunk.subarray(0, filled);
    chunk = nextChunk();
    filled = 0;
    return full;
  };
  const pad = (size: number) => {
    chunk.fill(0, filled, filled + size);
    filled += size;
  };
  for await (const entry of entries) {
    const header = encodeHeader(entry);
    if (isFull(header.length)) yield flush();
    if (header.length > CHUNK) yield header;
    else {
      chunk.set(header, filled);
      filled += header.length;
    }
    let written = 0;
    if (entry.read !== undefined) {
      while (written < entry.size) {
        if (isFull(1)) yield flush();
        const count = entry.read(chunk.subarray(filled, Math.min(CHUNK, filled + entry.size - written)));
        if (count === 0) break;
        written += count;
        filled += count;
      }
    }
    for await (const piece of entry.content ?? []) {
      written += piece.length;
      if (written > entry.size) break;
      if (isFull(piece.length) && filled > 0) yield flush();
      if (piece.length >= CHUNK) yield piece;
      else {
        chunk.set(piece, filled);
        filled += piece.length;
      }
    }
    if (written !== entry.size) {
      throw new CtrError("conflict", `${new TextDecoder().decode(entry.name)}: changed while it was read`);
    }
    const padding = (BLOCK - (written % BLOCK)) % BLOCK;
    if (isFull(padding)) yield flush();
    pad(padding);
  }
  if (isFull(2 * BLOCK)) yield flush();
  pad(2 * BLOCK);
  yield flush();
}

const TYPES: { readonly [Kind in EntryKind]: string } = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

const ENCODER = new TextEncoder();

/** The header blocks of one entry: a pax header if needed, then the ustar block. */
export function encodeHeader(entry: EntryHeader): Uint8Array {
  const records: Uint8Array[] = [];
  const text = (keyword: string, value: string | number) =>
    records.push(record(keyword, ENCODER.encode(String(value))));
  const name = entry.kind === "directory" && entry.name.at(-1) !== 0x2f ? withSlash(entry.name) : entry.name;
  if (!fits(name, 100)) records.push(record("path", name));
  if (!fits(entry.linkname, 100)) records.push(record("linkpath", entry.linkname));
  if (entry.size > 0o77777777777) text("size", entry.size);
  if (entry.uid > 0o7777777) text("uid", entry.uid);
  if (entry.gid > 0o7777777) text("gid", entry.gid);
  const seconds = floorSeconds(entry.mtimeNs);
  const isPlainTime = entry.mtimeNs >= 0n && seconds <= 0o77777777777n && entry.mtimeNs === seconds * 1_000_000_000n;
  if (!isPlainTime) text("mtime", decimal(entry.mtimeNs));
  for (const [xattr, value] of [...entry.xattrs].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    records.push(record(`SCHILY.xattr.${encodeName(xattr)}`, value));
  }
  const plainSeconds = seconds < 0n || seconds > 0o77777777777n ? 0 : Number(seconds);
  const block = ustar({
    name,
    linkname: entry.linkname,
    type: TYPES[entry.kind],
    mode: entry.mode & 0o7777,
    uid: entry.uid > 0o7777777 ? 0 : entry.uid,
    gid: entry.gid > 0o7777777 ? 0 : entry.gid,
    size: entry.size > 0o77777777777 ? 0 : entry.size,
    seconds: plainSeconds,
    major: entry.major,
    minor: entry.minor,
  });
  return records.length === 0 ? block : join([paxBlocks(records), block]);
}

function paxBlocks(records: readonly Uint8Array[]): Uint8Array {
  const body = join(records);
  const none = new Uint8Array(0);
  const name = ENCODER.encode("PaxHeaders/entry");
  const fields = { mode: 0o644, uid: 0, gid: 0, size: body.length, seconds: 0, major: 0, minor: 0 };
  const blocks = new Uint8Array(BLOCK + Math.ceil(body.length / BLOCK) * BLOCK);
  blocks.set(ustar({ name, linkname: none, type: "x", ...fields }));
  blocks.set(body, BLOCK);
  return blocks;
}

/** One pax record; its length counts its own digits. */
function record(keyword: string, value: Uint8Array): Uint8Array {
  const key = ENCODER.encode(` ${keyword}=`);
  const rest = key.length + value.length + 1;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return join([ENCODER.encode(String(length)), key, value, ENCODER.encode("\n")]);
}

interface UstarFields {
  readonly name: Uint8Array;
  readonly linkname: Uint8Array;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly seconds: number;
  readonly major: number;
  readonly minor: number;
}

function ustar(fields: UstarFields): Uint8Array {
  const block = new Uint8Array(BLOCK);
  block.set(fields.name.subarray(0, 100), 0);
  octal(block, 100, 8, fields.mode);
  octal(block, 108, 8, fields.uid);
  octal(block, 116, 8, fields.gid);
  octal(block, 124, 12, fields.size);
  octal(block, 136, 12, fields.seconds);
  block[156] = fields.type.charCodeAt(0);
  block.set(fields.linkname.subarray(0, 100), 157);
  block.set(MAGIC, 257);
  octal(block, 329, 8, fields.major);
  octal(block, 337, 8, fields.minor);
  octal(block, 148, 7, checksum(block));
  block[155] = 0x20;
  return block;
}

const MAGIC = ENCODER.encode("ustar\x0000");

/** Octal digits with a NUL after them; base-256 where they do not fit (device numbers above 2097151). */
function octal(block: Uint8Array, at: number, length: number, value: number): void {
  let rest = value;
  for (let index = at + length - 2; index >= at; index--) {
    block[index] = 0x30 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
  block[at + length - 1] = 0;
  if (rest === 0) return;
  let big = BigInt(value);
  for (let index = at + length - 1; index > at; index--) {
    block[index] = Number(big & 0xffn);
    big >>= 8n;
  }
  block[at] = 0x80;
}

/** Whether the ustar field says it exactly: short enough, and ASCII, which every reader takes the same way. */
function fits(bytes: Uint8Array, length: number): boolean {
  if (bytes.length > length) return false;
  for (let at = 0; at < bytes.length; at++) if ((bytes[at] ?? 0) >= 0x80) return false;
  return true;
}

function floorSeconds(ns: bigint): bigint {
  const seconds = ns / 1_000_000_000n;
  return ns < 0n && seconds * 1_000_000_000n !== ns ? seconds - 1n : seconds;
}

function decimal(ns: bigint): string {
  const sign = ns < 0n ? "-" : "";
  const absolute = ns < 0n ? -ns : ns;
  const fraction = (absolute % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  return `${sign}${absolute / 1_000_000_000n}${fraction === "" ? "" : `.${fraction}`}`;
}

function withSlash(name: Uint8Array): Uint8Array {
  const longer = new Uint8Array(name.length + 1);
  longer.set(name);
  longer[name.length] = 0x2f;
  return longer;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
