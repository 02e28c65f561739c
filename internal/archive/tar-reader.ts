/**
 * A tar stream, entry by entry: ustar (POSIX.1-1988), pax (POSIX.1-2001, pax(1)), GNU long names and numbers
 * (tar(5), GNU tar manual "Basic Tar Format"). Names stay bytes. Nothing is held but one header at a time.
 */
import { CtrError } from "../errors/error.ts";
import {
  DEFAULT_LIMITS,
  type EntryHeader,
  type EntryKind,
  type LayerEntry,
  type LayerEvent,
  type LayerLimits,
} from "../spec/layer-entry.ts";
import {
  readTarHeader,
  TAR_BEGIN,
  TAR_GID,
  TAR_LINK_LENGTH,
  TAR_MODE,
  TAR_MTIME,
  TAR_NAME_LENGTH,
  TAR_NANOSECONDS,
  TAR_PREFIX_LENGTH,
  TAR_SIZE,
  TAR_UID,
  type TarFields,
  tarFields,
} from "../sys/tar-header.ts";
import { BLOCK } from "./block.ts";
import { ByteQueue, type Starved, truncated } from "./byte-queue.ts";
import { applyPax, type PaxFields, parsePax } from "./pax.ts";
import { oldGnuSparseMap, paxSparseMap, sparseContent } from "./sparse.ts";

export type TarLimits = Pick<LayerLimits, "entries" | "pathBytes" | "paxBytes" | "xattrs" | "xattrBytes">;

/**
 * What is in a tar stream, one chunk's worth at a time. The source is always read to its end. Throws CtrError `invalid`
 * for what is not a tar archive.
 */
export async function* readTarEvents(
  source: AsyncIterable<Uint8Array>,
  limits: TarLimits = DEFAULT_LIMITS,
): AsyncGenerator<readonly LayerEvent[], void, undefined> {
  const queue = new ByteQueue();
  const parser = parseTar(queue, limits);
  upToStarved(parser);
  for await (const chunk of source) {
    queue.give(chunk);
    yield upToStarved(parser); // perhaps none, but whoever holds chunks counts them
  }
  queue.end();
  yield upToStarved(parser);
}

function upToStarved(parser: Generator<LayerEvent | Starved, void, undefined>): LayerEvent[] {
  const events: LayerEvent[] = [];
  for (;;) {
    const next = parser.next();
    if (next.done === true || next.value === undefined) return events;
    events.push(next.value);
  }
}

/**
 * The entries of a tar stream in order. Each entry's content is read before the next entry is asked for, or it is
 * passed over. Otherwise as `readTarEvents`.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  limits: TarLimits = DEFAULT_LIMITS,
): AsyncGenerator<LayerEntry, void, undefined> {
  const chunks = readTarEvents(source, limits);
  let waiting: readonly LayerEvent[] = [];
  let at = 0;
  const peek = async (): Promise<LayerEvent | undefined> => {
    while (at >= waiting.length) {
      const next = await chunks.next();
      if (next.done === true) return undefined;
      waiting = next.value;
      at = 0;
    }
    return waiting[at];
  };
  async function* content(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let event = await peek(); event !== undefined && event.type !== "entry"; event = await peek()) {
      at++;
      if (event.type === "data") yield event.bytes;
      else yield* zeros(event.size);
    }
  }
  try {
    for (let event = await peek(); event !== undefined; event = await peek()) {
      at++;
      if (event.type === "entry") yield { ...event.header, content: content() };
    }
  } finally {
    await chunks.return();
  }
}

const ZEROS = new Uint8Array(256 * 1024);

function* zeros(size: number): Generator<Uint8Array, void, undefined> {
  for (let left = size; left > 0; left -= ZEROS.length) yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
}

/**
 * The events in the bytes of the queue; yields undefined when it has to be given more. With `skipsContent` the content of
 * files and its padding are not in the queue, and there are no events of it.
 */
export function* parseTar(
  queue: ByteQueue,
  limits: TarLimits,
  skipsContent = false,
): Generator<LayerEvent | Starved, void, undefined> {
  let pending = NOTHING_PENDING;
  let count = 0;
  const fields = tarFields();
  for (let isFirst = true; ; isFirst = false) {
    // Mostly the header is here, and needs no view of its own.
    const isHere = queue.left >= BLOCK;
    const bytes = isHere ? queue.chunk : yield* queue.take(BLOCK);
    if (bytes.length < BLOCK) {
      // Some writers leave the end mark out; a stop at a border between entries cannot be told from that.
      if (bytes.length > 0 || pending !== NOTHING_PENDING) throw isFirst ? notTar() : truncated();
      if (isFirst) throw new CtrError("invalid", "the archive is empty");
      return;
    }
    const start = isHere ? queue.at : 0;
    // Together with an extended header only where that is allowed, and nothing else has been said before.
    const isAlone = !isHere || pending !== NOTHING_PENDING || limits.paxBytes < BLOCK;
    const found = readTarHeader(bytes, fields, start, isAlone ? BLOCK : queue.left);
    const begin = fields[TAR_BEGIN] ?? 0;
    if (isHere) queue.skipNow(begin + BLOCK);
    const at = start + begin;
    if (found === "end") {
      if (pending !== NOTHING_PENDING) throw truncated();
      yield* queue.drain();
      return;
    }
    if (found === "damaged") throw isFirst ? notTar() : new CtrError("invalid", "corrupt tar header (checksum)");
    const type = String.fromCharCode(bytes[at + TYPE_AT] ?? 0);
    const size = positive(fields, TAR_SIZE);
    if (type === "x" || type === "g" || type === "L" || type === "K") {
      const extension = yield* readExtension(queue, size, limits.paxBytes);
      if (type === "x") pending = { ...pending, pax: parsePax(extension) };
      else if (type === "L") pending = { ...pending, name: untilNul(extension) };
      else if (type === "K") pending = { ...pending, linkname: untilNul(extension) };
      // "g" applies to all that follows; nothing a layer needs is in it (Go's archive/tar passes it over too).
      continue;
    }
    const extended = pending;
    pending = NOTHING_PENDING;
    if (type === "V") {
      yield* queue.skip(padded(size)); // GNU volume label: the name of the archive, not a file
      continue;
    }
    if (++count > limits.entries) throw new CtrError("invalid", `the archive has more than ${limits.entries} entries`);
    const base = parseHeader(bytes, at, fields, type, extended);
    const header = extended.pax === undefined ? base : applyPax(base, extended.pax);
    const isSparse = header.kind === "file" && (type === "S" || extended.pax?.sparse !== undefined);
    if (isSparse) {
      if (skipsContent) throw new CtrError("unsupported", "a sparse file");
      const block = bytes.subarray(at, at + BLOCK);
      yield* readSparse(queue, header, block, type, extended.pax, limits);
      continue;
    }
    checkLimits(header, limits);
    yield { type: "entry", header };
    if (skipsContent) continue;
    if (type === "D") yield* queue.skip(padded(size)); // the names in the directory
    if (header.size === 0) continue;
    // Mostly all of it is here: no generator for that.
    const whole = queue.takeNow(header.size);
    if (whole !== undefined) yield { type: "data", bytes: whole };
    else yield* readContent(queue, header.size);
    const padding = padded(header.size) - header.size;
    if (padding > 0 && !queue.skipNow(padding)) yield* queue.skip(padding);
  }
}

function* readSparse(
  queue: ByteQueue,
  header: EntryHeader,
  block: Uint8Array,
  type: string,
  pax: PaxFields | undefined,
  limits: TarLimits,
): Generator<LayerEvent | Starved, void, undefined> {
  const stored = header.size;
  const sparse =
    type === "S" || pax?.sparse === undefined
      ? yield* oldGnuSparseMap(queue, block, stored)
      : yield* paxSparseMap(queue, pax.sparse, stored);
  const entry = { ...header, name: pax?.sparseName ?? header.name, size: sparse.size };
  checkLimits(entry, limits);
  yield { type: "entry", header: entry };
  yield* sparseContent(readContent(queue, stored - sparse.mapBytes), sparse);
  yield* queue.skip(padded(stored) - stored);
}

function* readContent(queue: ByteQueue, size: number): Generator<LayerEvent | Starved, void, undefined> {
  for (let left = size; left > 0; ) {
    const bytes = queue.takeNow(left) ?? (yield* queue.some(left));
    if (bytes.length === 0) throw truncated();
    left -= bytes.length;
    yield { type: "data", bytes };
  }
}

function checkLimits({ name, linkname, xattrs }: EntryHeader, limits: TarLimits): void {
  if (Math.max(name.length, linkname.length) > limits.pathBytes) {
    throw new CtrError("invalid", `a path in the archive is longer than ${limits.pathBytes} bytes`);
  }
  if (xattrs.size === 0) return;
  const shown = new TextDecoder().decode(name);
  if (xattrs.size > limits.xattrs)
    throw new CtrError("invalid", `${shown}: more than ${limits.xattrs} extended attributes`);
  for (const [xattr, value] of xattrs) {
    if (value.length > limits.xattrBytes)
      throw new CtrError("invalid", `${shown}: attribute ${xattr} is larger than ${limits.xattrBytes} bytes`);
  }
}

/** What extension headers said about the next entry. */
interface Pending {
  readonly pax?: PaxFields;
  readonly name?: Uint8Array;
  readonly linkname?: Uint8Array;
}

const NOTHING_PENDING: Pending = {};

const TYPE_AT = 156;

function parseHeader(bytes: Uint8Array, at: number, fields: TarFields, type: string, extended: Pending): EntryHeader {
  const kind = kindOf(type, bytes, at, fields);
  const isDevice = kind === "char" || kind === "block";
  const isLink = kind === "link" || kind === "symlink";
  return {
    kind,
    name: extended.name ?? nameOf(bytes, at, fields),
    linkname: isLink
      ? (extended.linkname ?? bytes.subarray(at + LINK_AT, at + LINK_AT + (fields[TAR_LINK_LENGTH] ?? 0)))
      : NO_BYTES,
    mode: positive(fields, TAR_MODE) & 0o7777,
    uid: positive(fields, TAR_UID),
    gid: positive(fields, TAR_GID),
    size: kind === "file" ? positive(fields, TAR_SIZE) : 0,
    mtimeNs: BigInt(valid(fields, TAR_MTIME)) * 1_000_000_000n + BigInt(fields[TAR_NANOSECONDS] ?? 0),
    major: isDevice ? number(bytes, at + 329, 8, "device number") : 0,
    minor: isDevice ? number(bytes, at + 337, 8, "device number") : 0,
    xattrs: NO_XATTRS,
  };
}

const LINK_AT = 157;
const PREFIX_AT = 345;
const FIELD_NAMES: readonly string[] = ["size", "mode", "uid", "gid", "mtime"];

function valid(fields: TarFields, at: number): number {
  const value = fields[at] ?? Number.NaN;
  if (Number.isNaN(value)) throw new CtrError("invalid", `corrupt tar header (${FIELD_NAMES[at]})`);
  return value;
}

function positive(fields: TarFields, at: number): number {
  const value = valid(fields, at);
  if (value < 0) throw new CtrError("invalid", `corrupt tar header (${FIELD_NAMES[at]})`);
  return value;
}

const NO_BYTES = new Uint8Array(0);
const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

function kindOf(type: string, bytes: Uint8Array, at: number, fields: TarFields): EntryKind {
  switch (type) {
    case "0":
    case "7": // "contiguous", a regular file everywhere but on RTU
    case "S": // GNU sparse
      return "file";
    case "\0": {
      // Before POSIX a directory was a file whose name ends in a slash.
      const name = nameOf(bytes, at, fields);
      return name.at(-1) === 0x2f ? "directory" : "file";
    }
    case "1":
      return "link";
    case "2":
      return "symlink";
    case "3":
      return "char";
    case "4":
      return "block";
    case "5":
    case "D": // GNU directory with a list of names as its content
      return "directory";
    case "6":
      return "fifo";
    default:
      throw new CtrError("invalid", `tar entry of unknown type ${JSON.stringify(type)}`);
  }
}

/** The name field, with ustar's prefix before it; GNU keeps other things there. */
function nameOf(bytes: Uint8Array, at: number, fields: TarFields): Uint8Array {
  const name = bytes.subarray(at, at + (fields[TAR_NAME_LENGTH] ?? 0));
  const prefixLength = fields[TAR_PREFIX_LENGTH] ?? 0;
  if (prefixLength === 0) return name;
  const joined = new Uint8Array(prefixLength + 1 + name.length);
  joined.set(bytes.subarray(at + PREFIX_AT, at + PREFIX_AT + prefixLength));
  joined[prefixLength] = 0x2f;
  joined.set(name, prefixLength + 1);
  return joined;
}

function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** A number field that must not be negative. */
function number(block: Uint8Array, at: number, length: number, what: string): number {
  const value = signedNumber(block, at, length, what);
  if (value < 0) throw new CtrError("invalid", `corrupt tar header (${what})`);
  return value;
}

/** Octal with blanks and NULs around it, or GNU's base-256 two's complement when the top bit is set. */
export function signedNumber(block: Uint8Array, at: number, length: number, what: string): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = (first & 0x40) === 0 ? BigInt(first & 0x7f) : BigInt(first & 0x7f) - 128n;
    for (let index = 1; index < length; index++) value = value * 256n + BigInt(block[at + index] ?? 0);
    const small = Number(value);
    if (!Number.isSafeInteger(small)) throw new CtrError("invalid", `corrupt tar header (${what})`);
    return small;
  }
  let value = 0;
  let digits = 0;
  let isDone = false;
  for (let index = at; index < at + length; index++) {
    const byte = block[index] ?? 0;
    if (byte === 0x20 || byte === 0) {
      isDone = digits > 0;
      if (isDone) break;
    } else if (byte >= 0x30 && byte <= 0x37) {
      value = value * 8 + byte - 0x30;
      digits++;
    } else throw new CtrError("invalid", `corrupt tar header (${what})`);
  }
  return value;
}

function* readExtension(queue: ByteQueue, size: number, most: number): Generator<Starved, Uint8Array, undefined> {
  if (size > most) throw new CtrError("invalid", `a tar extension header is larger than ${most} bytes`);
  const bytes = (yield* queue.take(padded(size))).slice(0, size);
  if (bytes.length < size) throw truncated();
  return bytes;
}

/** Rounded up to whole blocks. */
export function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function notTar(): CtrError {
  return new CtrError("invalid", "not a tar archive");
}
