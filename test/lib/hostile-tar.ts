/** Archives that no tool would write: header blocks by field, and seeded damage that keeps checksums right. */

const BLOCK = 512;
const encoder = new TextEncoder();

export interface RawEntry {
  readonly type?: string;
  readonly name?: string | Uint8Array;
  readonly linkname?: string;
  readonly mode?: string;
  readonly uid?: string;
  readonly size?: number | string;
  readonly prefix?: string;
  readonly content?: Uint8Array | string;
}

/** One header with its content, padded. Fields go in as they are given, sensible or not. */
export function rawEntry(entry: RawEntry): Uint8Array {
  const content =
    typeof entry.content === "string" ? encoder.encode(entry.content) : (entry.content ?? new Uint8Array());
  const block = new Uint8Array(BLOCK);
  const put = (at: number, length: number, value: string | Uint8Array) =>
    block.set((typeof value === "string" ? encoder.encode(value) : value).subarray(0, length), at);
  const size = entry.size ?? content.length;
  put(0, 100, entry.name ?? "name");
  put(100, 8, entry.mode ?? "0000644\0");
  put(108, 8, entry.uid ?? "0000000\0");
  put(116, 8, "0000000\0");
  put(124, 12, typeof size === "string" ? size : `${size.toString(8).padStart(11, "0")}\0`);
  put(136, 12, "00000000000\0");
  put(156, 1, entry.type ?? "0");
  put(157, 100, entry.linkname ?? "");
  put(257, 8, "ustar\x0000");
  put(345, 155, entry.prefix ?? "");
  setChecksum(block);
  const whole = new Uint8Array(BLOCK + Math.ceil(content.length / BLOCK) * BLOCK);
  whole.set(block);
  whole.set(content, BLOCK);
  return whole;
}

/** A pax header of these records, for the entry that follows. */
export function paxHeader(records: readonly (readonly [keyword: string, value: string | Uint8Array])[]): Uint8Array {
  const parts = records.map(([keyword, value]) => {
    const bytes = typeof value === "string" ? encoder.encode(value) : value;
    const rest = encoder.encode(` ${keyword}=`).length + bytes.length + 1;
    let length = rest + 1;
    while (String(length).length + rest !== length) length++;
    return Buffer.concat([encoder.encode(`${length} ${keyword}=`), bytes, encoder.encode("\n")]);
  });
  return rawEntry({ type: "x", name: "PaxHeaders/x", content: Buffer.concat(parts) });
}

export const END = new Uint8Array(2 * BLOCK);

export function archive(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([...parts, END]);
}

function setChecksum(block: Uint8Array): void {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(encoder.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
}

const NAMES = [
  "..",
  "../x",
  "/etc/passwd",
  "a/../../x",
  ".",
  "",
  "/",
  "a",
  "a/b",
  "b",
  ".wh.a",
  ".wh..wh..opq",
  "a/.wh.b",
];
const TYPES = "01234567SLKxgDV\0Z";

/** Damage that a parser only sees behind a valid checksum: fields of headers, blocks that come twice, go or change places. */
export function damaged(original: Uint8Array, next: (limit: number) => number): Uint8Array {
  let bytes = Buffer.from(original);
  for (let times = 1 + next(4); times > 0; times--) {
    const blocks = Math.floor(bytes.length / BLOCK);
    const at = next(blocks) * BLOCK;
    const block = bytes.subarray(at, at + BLOCK);
    switch (next(9)) {
      case 0:
        block[next(BLOCK)] = next(256);
        break;
      case 1:
        block[156] = TYPES.charCodeAt(next(TYPES.length));
        setChecksum(block);
        break;
      case 2:
        block.fill(0, 0, 100);
        block.set(encoder.encode(NAMES[next(NAMES.length)] ?? ""));
        setChecksum(block);
        break;
      case 3:
        block.fill(0, 157, 257);
        block.set(encoder.encode(NAMES[next(NAMES.length)] ?? ""), 157);
        setChecksum(block);
        break;
      case 4: {
        const field = [100, 108, 116, 124, 136, 329, 337][next(7)] ?? 124;
        for (let index = 0; index < 8; index++)
          block[field + index] = next(4) === 0 ? 0x80 + next(128) : 0x30 + next(8);
        setChecksum(block);
        break;
      }
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at), block, bytes.subarray(at)]);
        break;
      case 6:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + BLOCK)]);
        break;
      case 7: {
        const other = next(blocks) * BLOCK;
        const copy = Buffer.from(block);
        bytes.copy(bytes, at, other, other + BLOCK);
        copy.copy(bytes, other);
        break;
      }
      default:
        bytes = bytes.subarray(0, next(bytes.length));
    }
    if (bytes.length < BLOCK) break;
  }
  return bytes;
}
