/** Compression is told by its magic number, never by a name: gzip (RFC 1952) and Zstandard (RFC 8878). */
import { CtrError } from "../errors/error.ts";
import { sweep } from "../sys/sweep.ts";

export type Compression = "none" | "gzip" | "zstd";

function starts(head: Uint8Array, ...magic: number[]): boolean {
  return magic.every((byte, index) => head[index] === byte);
}

/** Compressions that no layer has (foreign.ts). */
export function detectForeign(head: Uint8Array): "xz" | "bzip2" | undefined {
  if (starts(head, 0xfd, 0x37, 0x7a, 0x58, 0x5a)) return "xz";
  return starts(head, 0x42, 0x5a, 0x68) ? "bzip2" : undefined;
}

/** The compression whose magic number starts `head` (the first six bytes, or all there is). Refuses known others. */
export function detectCompression(head: Uint8Array): Compression {
  const startsWith = (...magic: number[]) => starts(head, ...magic);
  if (startsWith(0x1f, 0x8b)) return "gzip";
  if (startsWith(0x28, 0xb5, 0x2f, 0xfd)) return "zstd";
  // A skippable frame may come first (RFC 8878 section 3.1.2); pzstd writes one.
  if (head.length >= 4 && ((head[0] ?? 0) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18)
    return "zstd";
  const foreign = detectForeign(head);
  if (foreign !== undefined) throw unsupported(foreign);
  return "none";
}

function unsupported(name: string): CtrError {
  return new CtrError("unsupported", `${name} compression is not supported (gzip, zstd and none are)`);
}

/**
 * A stream with its compression undone as it flows. `onDetect` is told the kind before the first byte comes out. With
 * `reusesMemory` that of a chunk may be used again after `HELD_CHUNKS` others.
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  onDetect: (compression: Compression) => void = () => {},
  reusesMemory = false,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    const head = await readHead(iterator);
    const compression = detectCompression(head);
    onDetect(compression);
    const whole = prefixed(head, iterator);
    if (compression === "none") yield* whole;
    else if (compression === "gzip") yield* (await import("./gunzip.ts")).gunzip(whole, reusesMemory);
    else yield* inflate(whole, compression);
  } finally {
    await iterator.return?.();
  }
}

/** The first six bytes or more, or all there is. */
export async function readHead(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head = new Uint8Array(0);
  while (head.length < 6) {
    const next = await iterator.next();
    if (next.done === true) break;
    if (head.length === 0) head = new Uint8Array(next.value);
    else {
      const joined = new Uint8Array(head.length + next.value.length);
      joined.set(head);
      joined.set(next.value, head.length);
      head = joined;
    }
  }
  return head;
}

/** The stream whose head was taken. */
export async function* prefixed(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (head.length > 0) yield head;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}

async function* inflate(
  source: AsyncIterable<Uint8Array>,
  compression: "zstd",
): AsyncGenerator<Uint8Array, void, undefined> {
  // Bun hands its output on in small pieces and waits for the reader, so a bomb costs time, not memory.
  const stream = new DecompressionStream(compression);
  const reader = stream.readable.getReader();
  const sourceFailure: { error?: unknown } = {};
  const pump = feed(source, stream.writable.getWriter(), sourceFailure);
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) return;
      sweep(next.value.length);
      yield next.value;
    }
  } catch (error) {
    if (sourceFailure.error !== undefined) throw sourceFailure.error;
    throw new CtrError(
      "invalid",
      `not valid ${compression} data: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  } finally {
    // Also when the consumer stops early: this makes the pending write fail, and the pump ends.
    await reader.cancel().catch(() => {}); // fails only if the stream has failed, which has been told above
    await pump;
  }
}

/** Copies the source into the writer. Never rejects: what goes wrong reaches the reading side of the same stream. */
async function feed(
  source: AsyncIterable<Uint8Array>,
  writer: ReturnType<DecompressionStream["writable"]["getWriter"]>,
  sourceFailure: { error?: unknown },
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await iterator.next().catch((error: unknown) => {
        sourceFailure.error = error;
        throw error;
      });
      if (next.done === true) break;
      await writer.write(next.value as Uint8Array<ArrayBuffer>); // never shared memory: our readers make plain buffers
    }
    await writer.close();
  } catch (error) {
    await writer.abort(error).catch(() => {}); // already broken: the reader has the reason
  } finally {
    await iterator.return?.();
  }
}
