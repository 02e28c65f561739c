/**
 * How the executable lies on disk, which decides what its start costs. A third of every start were page
 * faults on its own 100 MB: each maps 64 KiB at most, page by page, as long as the file's cache consists of single pages.
 * Where the cache has pieces of 2 MiB and a segment lies in the file as it lies in memory, one fault maps 2 MiB at once.
 */
import { closeSync, fchmodSync, openSync, writeSync } from "node:fs";
import { entries, PROGRAM_HEADERS, PT_LOAD, SECTION, SECTION_HEADERS, SEGMENT, setWord, viewOf, word } from "./elf.ts";

/** What one entry of the middle level of page tables maps (x86-64, arm64 with pages of 4 KiB). */
const LARGE_PAGE = 0x20_0000;

/** From this offset of the file on, everything moves by so many bytes. */
interface Move {
  readonly from: number;
  readonly by: number;
}

/**
 * The executable with its loaded segments moved up in the file until each lies as far behind a multiple of `LARGE_PAGE`
 * as in memory; where they are in memory does not change. Throws for what is no ELF64 executable of this byte order.
 */
export function alignedForLargePages(executable: Uint8Array): Uint8Array {
  const old = viewOf(executable);
  const segments = entries(old, PROGRAM_HEADERS);
  const moves: Move[] = [];
  for (const at of segments) {
    if (old.getUint32(at + SEGMENT.type, true) !== PT_LOAD) continue;
    const from = word(old, at + SEGMENT.offset);
    const by = moves.at(-1)?.by ?? 0;
    const missing = (word(old, at + SEGMENT.address) - from - by) % LARGE_PAGE;
    if (from < (moves.at(-1)?.from ?? 0)) throw new Error("the segments are not in the order of the file");
    moves.push({ from, by: by + (missing < 0 ? missing + LARGE_PAGE : missing) });
  }
  const first = moves[0];
  if (first === undefined || first.from !== 0 || first.by !== 0)
    throw new Error("the first segment is not the file's head");

  const moved = new Uint8Array(executable.length + (moves.at(-1)?.by ?? 0));
  for (const [index, { from, by }] of moves.entries()) {
    moved.set(executable.subarray(from, moves[index + 1]?.from), from + by);
  }
  const view = new DataView(moved.buffer);
  for (const at of segments) move(view, at + SEGMENT.offset, moves);
  move(view, SECTION_HEADERS.offset, moves);
  for (const at of entries(view, SECTION_HEADERS)) move(view, at + SECTION.offset, moves);
  return moved;
}

/** Writes anew the place in the file that stands at `at`. */
function move(view: DataView, at: number, moves: readonly Move[]): void {
  const old = word(view, at);
  const by = moves.findLast(({ from }) => from <= old)?.by ?? 0;
  setWord(view, at, old + by);
}

/**
 * Writes an executable file such that the cache holds it in large pieces: a piece is as large as the write that made it
 * (ext4 since 6.16, xfs, btrfs).
 */
export function writeInLargePieces(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "w", 0o755);
  try {
    for (let at = 0; at < bytes.length; at += LARGE_PAGE) {
      const piece = bytes.subarray(at, at + LARGE_PAGE);
      if (writeSync(fd, piece) !== piece.length) throw new Error(`${path}: written only in part`);
    }
    fchmodSync(fd, 0o755);
  } finally {
    closeSync(fd);
  }
}
