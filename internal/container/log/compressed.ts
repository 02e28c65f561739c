/**
 * Compressed files of a log: independent frames of at most 1 MiB of text, so that neither side ever holds a whole file
 * in memory. Each frame says how long it is and which file it was made from, in places the formats leave for such notes:
 * zstdcat(1) and zcat(1) read these files as they are.
 *
 *   gzip   header with FEXTRA "CT" {u64 inode, u32 member bytes} │ deflate │ crc, size           RFC 1952 section 2.3.1.1
 *   zstd   skippable frame {u64 inode, u32 frame bytes} │ frame                                  RFC 8878 section 3.1.2
 */
import { CtrError } from "../../errors/error.ts";
import { pread } from "../../sys/fd.ts";

export type Compression = "gzip" | "zstd";

export const SUFFIX: { readonly [compression in Compression]: string } = { gzip: ".gz", zstd: ".zst" };

/** The largest amount of text in one frame. */
export const FRAME_TEXT_BYTES = 1 << 20;
/** More than that much text never becomes larger than this: a longer frame is none of ours. */
const MAX_FRAME_BYTES = FRAME_TEXT_BYTES * 2;

// gzip: ID1 ID2 CM=deflate FLG=FEXTRA, mtime 0, XFL 0, OS=Unix, XLEN=16, subfield "CT" of 12 bytes.
const GZIP_START = Uint8Array.of(0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3, 16, 0, 0x43, 0x54, 12, 0);
const GZIP_PLAIN_HEADER_BYTES = 10;
const ZSTD_START = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 12, 0, 0, 0);
const NOTE_BYTES = 12;

/** One frame of text that came from the file with that inode. */
export function compressFrame(kind: Compression, text: Uint8Array<ArrayBuffer>, inode: bigint): Uint8Array {
  const start = kind === "gzip" ? GZIP_START : ZSTD_START;
  const body =
    kind === "gzip"
      ? Bun.gzipSync(text, { level: 6 }).subarray(GZIP_PLAIN_HEADER_BYTES)
      : Bun.zstdCompressSync(text, { level: 3 });
  const frame = new Uint8Array(start.length + NOTE_BYTES + body.length);
  frame.set(start);
  const view = new DataView(frame.buffer);
  view.setBigUint64(start.length, inode, true);
  view.setUint32(start.length + 8, frame.length, true);
  frame.set(body, start.length + NOTE_BYTES);
  return frame;
}

interface Note {
  readonly inode: bigint;
  readonly frameBytes: number;
}

/** What the frame at an offset says of itself; undefined at the end, or for a file that is none of ours. */
function noteAt(kind: Compression, fd: number, offset: number): Note | undefined {
  const start = kind === "gzip" ? GZIP_START : ZSTD_START;
  const bytes = new Uint8Array(start.length + NOTE_BYTES);
  if (pread(fd, bytes, offset) < bytes.length || !start.every((byte, at) => bytes[at] === byte)) return undefined;
  const view = new DataView(bytes.buffer);
  const frameBytes = view.getUint32(start.length + 8, true);
  if (frameBytes <= bytes.length || frameBytes > MAX_FRAME_BYTES) return undefined;
  return { inode: view.getBigUint64(start.length, true), frameBytes };
}

/** The inode of the file that was compressed; undefined if it is none of ours. */
export function compressedInode(kind: Compression, fd: number): bigint | undefined {
  return noteAt(kind, fd, 0)?.inode;
}

/** The text, frame by frame. Throws for a file that is damaged. */
export function* decompressFrames(kind: Compression, fd: number): Generator<Uint8Array> {
  for (let offset = 0; ; ) {
    const note = noteAt(kind, fd, offset);
    if (note === undefined) {
      if (pread(fd, new Uint8Array(1), offset) === 0) return;
      throw damaged(offset);
    }
    const frame = new Uint8Array(note.frameBytes);
    if (pread(fd, frame, offset) < frame.length) throw damaged(offset);
    yield decompress(kind, frame, offset);
    offset += note.frameBytes;
  }
}

function decompress(kind: Compression, frame: Uint8Array<ArrayBuffer>, offset: number): Uint8Array {
  try {
    return kind === "gzip"
      ? Bun.gunzipSync(frame)
      : Bun.zstdDecompressSync(frame.subarray(ZSTD_START.length + NOTE_BYTES));
  } catch (error) {
    throw damaged(offset, error);
  }
}

function damaged(offset: number, cause?: unknown): CtrError {
  return new CtrError("internal", `the compressed log is damaged at byte ${offset}`, { cause });
}
