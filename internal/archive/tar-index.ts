/** Where the files of an archive lie in it, found by its headers alone: their content is not read. */
import type { EntryHeader } from "../spec/layer-entry.ts";
import { ByteQueue, truncated } from "./byte-queue.ts";
import { padded, parseTar, type TarLimits } from "./tar-reader.ts";

export interface IndexedEntry {
  readonly header: EntryHeader;
  /** Where the content of a `file` starts in the archive. */
  readonly offset: number;
}

/** Enough for a header and what extends it, mostly. */
const READ_BYTES = 2048;

/**
 * The entries of an archive of `size` bytes; `read` gives the bytes at an offset, fewer only at the end. Throws as
 * `readTarEvents`, and CtrError `unsupported` for a sparse file, which lies in pieces.
 */
export function* indexTar(
  size: number,
  read: (offset: number, buffer: Uint8Array) => number,
  limits: TarLimits,
): Generator<IndexedEntry, void, undefined> {
  const queue = new ByteQueue();
  let position = 0;
  for (const event of parseTar(queue, limits, true)) {
    if (event === undefined) {
      const buffer = new Uint8Array(READ_BYTES);
      const count = read(position, buffer);
      position += count;
      if (count === 0) queue.end();
      else queue.give(buffer.subarray(0, count));
    } else if (event.type === "entry") {
      const offset = position - queue.left;
      yield { header: event.header, offset };
      if (event.header.size === 0) continue;
      if (offset + event.header.size > size) throw truncated();
      queue.clear();
      position = offset + padded(event.header.size);
    }
  }
}
