/** Sparse files as GNU tar stores them: a map of data pieces, and only these in the archive (GNU tar manual "Sparse Formats"). */
import { CtrError } from "../errors/error.ts";
import type { LayerEvent } from "../spec/layer-entry.ts";
import { type ByteQueue, type Starved, truncated } from "./byte-queue.ts";

export interface SparseMap {
  /** The file's size with its holes. */
  readonly size: number;
  readonly pieces: readonly { readonly offset: number; readonly length: number }[];
  /** Bytes of the entry's stored content that the map itself took (format 1.0). */
  readonly mapBytes: number;
}

const MAX_PIECES = 1_000_000;

/** The map of an entry of type `S`: four pieces in the header, then extension blocks of 21. */
export function* oldGnuSparseMap(
  queue: ByteQueue,
  block: Uint8Array,
  stored: number,
): Generator<Starved, SparseMap, undefined> {
  const numbers: number[] = [];
  const size = octal(block, 483);
  collect(block, 386, 4, numbers);
  for (let isExtended = block[482] === 1; isExtended; ) {
    const extension = yield* queue.take(512);
    if (extension.length < 512) throw truncated();
    collect(extension, 0, 21, numbers);
    isExtended = extension[504] === 1;
    if (numbers.length > 2 * MAX_PIECES) throw corrupt();
  }
  return checked(numbers, size, stored, 0);
}

/** The map of a pax sparse entry: from its header (0.0, 0.1), or at the start of its content (1.0). */
export function* paxSparseMap(
  queue: ByteQueue,
  sparse: { readonly size: number; readonly map: readonly number[] | undefined },
  stored: number,
): Generator<Starved, SparseMap, undefined> {
  if (sparse.map !== undefined) return checked(sparse.map, sparse.size, stored, 0);
  // Decimal numbers, one per line: how many pieces, then offset and length of each, padded to a block.
  const numbers: number[] = [];
  let text = "";
  let mapBytes = 0;
  while (numbers.length === 0 || numbers.length < 1 + 2 * (numbers[0] ?? 0)) {
    if ((numbers[0] ?? 0) > MAX_PIECES || mapBytes + 512 > stored) throw corrupt();
    const part = yield* queue.take(512);
    if (part.length < 512) throw truncated();
    mapBytes += 512;
    text += new TextDecoder("latin1").decode(part);
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      if (numbers.length > 0 && numbers.length === 1 + 2 * (numbers[0] ?? 0)) break;
      if (!/^\d{1,16}$/.test(line)) throw corrupt();
      numbers.push(Number(line));
    }
    const isWhole = numbers.length > 0 && numbers.length === 1 + 2 * (numbers[0] ?? 0);
    if (!isWhole && text.length > 16) throw corrupt(); // no number is so long
  }
  return checked(numbers.slice(1), sparse.size, stored, mapBytes);
}

function collect(block: Uint8Array, at: number, most: number, into: number[]): void {
  for (let index = 0; index < most; index++) {
    const start = at + index * 24;
    if (block[start] === 0) return;
    into.push(octal(block, start), octal(block, start + 12));
  }
}

function octal(block: Uint8Array, at: number): number {
  if (((block[at] ?? 0) & 0x80) !== 0) {
    let value = (block[at] ?? 0) & 0x7f;
    for (let index = 1; index < 12; index++) value = value * 256 + (block[at + index] ?? 0);
    return value;
  }
  const text = new TextDecoder("latin1")
    .decode(block.subarray(at, at + 12))
    .replace(/[\0 ]+$/, "")
    .trim();
  if (!/^[0-7]*$/.test(text)) throw corrupt();
  return text === "" ? 0 : Number.parseInt(text, 8);
}

function checked(numbers: readonly number[], size: number, stored: number, mapBytes: number): SparseMap {
  const pieces: { offset: number; length: number }[] = [];
  let end = 0;
  let total = 0;
  for (let index = 0; index + 1 < numbers.length; index += 2) {
    const [offset = 0, length = 0] = [numbers[index], numbers[index + 1]];
    if (offset < end || !Number.isSafeInteger(offset + length) || offset + length > size) throw corrupt();
    end = offset + length;
    total += length;
    pieces.push({ offset, length });
  }
  if (numbers.length % 2 !== 0 || total !== stored - mapBytes || !Number.isSafeInteger(size)) throw corrupt();
  return { size, pieces, mapBytes };
}

/** The content as events: the stored pieces, and the holes between them. */
export function* sparseContent(
  stored: Generator<LayerEvent | Starved, void, undefined>,
  map: SparseMap,
): Generator<LayerEvent | Starved, void, undefined> {
  let rest: Uint8Array = NOTHING;
  let position = 0;
  for (const { offset, length } of map.pieces) {
    if (offset > position) yield { type: "hole", size: offset - position };
    for (let left = length; left > 0; ) {
      while (rest.length === 0) {
        const next = stored.next();
        if (next.done === true) throw truncated();
        if (next.value?.type === "data") rest = next.value.bytes;
        else yield;
      }
      const part = rest.subarray(0, left);
      rest = rest.subarray(part.length);
      left -= part.length;
      yield { type: "data", bytes: part };
    }
    position = offset + length;
  }
  if (map.size > position) yield { type: "hole", size: map.size - position };
}

const NOTHING = new Uint8Array(0);

function corrupt(): CtrError {
  return new CtrError("invalid", "corrupt map of a sparse file");
}
