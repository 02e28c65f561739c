/**
 * gzip (RFC 1952) undone on a thread of the interpreter's pool, into memory that is used again. What makes the streams of
 * node:zlib is used without them: a DecompressionStream copies all that comes out into new memory, and the page faults and
 * the garbage cost half as much as the decompression itself.
 */
import { createGunzip } from "node:zlib";
import { CtrError } from "../errors/error.ts";
import { HELD_CHUNKS } from "../spec/layer-entry.ts";

/** As in node's src/node_zlib.cc, which the interpreter follows. */
interface Handle {
  onerror: (message: string) => void;
  /** `result` takes how much room and how much input were left, then `onDone` is called. */
  init(
    windowBits: number,
    level: 0,
    memLevel: 0,
    strategy: 0,
    result: Uint32Array,
    onDone: () => void,
    dictionary: undefined,
  ): void;
  /** Ends with `onDone` or with `onerror`. */
  write(
    flush: number,
    from: Uint8Array,
    at: number,
    size: number,
    into: Uint8Array,
    intoAt: number,
    room: number,
  ): void;
  close(): void;
}

const GUNZIP = 4;
const MAX_WINDOW_BITS = 15;
const Z_NO_FLUSH = 0;
const Z_FINISH = 4;
const CHUNK = 256 * 1024;
const EMPTY = new Uint8Array(0);

/** Chunks that are made ahead of the reader. */
const AHEAD = 2;

/** The stream without its compression. With `reusesMemory` that of a chunk is used again after `HELD_CHUNKS` others. */
export async function* gunzip(
  source: AsyncIterable<Uint8Array>,
  reusesMemory: boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  const ready: Uint8Array[] = [];
  let changed = Promise.withResolvers<void>();
  const change = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  let isEnded = false;
  let isGivenUp = false;
  const making = (async () => {
    for await (const chunk of inflated(source, reusesMemory)) {
      ready.push(chunk);
      change();
      while (ready.length >= AHEAD && !isGivenUp) await changed.promise;
      if (isGivenUp) return;
    }
  })().finally(() => {
    isEnded = true;
    change();
  });
  making.catch(() => {}); // told below
  try {
    for (;;) {
      const chunk = ready.shift();
      if (chunk !== undefined) {
        change();
        yield chunk;
      } else if (isEnded) break;
      else await changed.promise;
    }
    await making;
  } finally {
    isGivenUp = true;
    change();
    await making.catch(() => {}); // told above, or nobody reads any more
  }
}

async function* inflated(
  source: AsyncIterable<Uint8Array>,
  reusesMemory: boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  using inflater = new Inflater();
  const chunks: Uint8Array[] = [];
  let turn = 0;
  let chunk: Uint8Array = new Uint8Array(CHUNK);
  let filled = 0;
  chunks[0] = chunk;
  const pass = async (input: Uint8Array, flush: number): Promise<number> => {
    const { made, used } = await inflater.pass(flush, input, chunk.subarray(filled));
    filled += made;
    // There was room: what is left belongs to nothing.
    if (filled < CHUNK && used < input.length) throw notGzip("bytes after the end");
    return used;
  };
  const next = () => {
    const full = chunk;
    turn = (turn + 1) % (HELD_CHUNKS + AHEAD + 2);
    chunk = (reusesMemory ? chunks[turn] : undefined) ?? new Uint8Array(CHUNK);
    chunks[turn] = chunk;
    filled = 0;
    return full;
  };
  for await (const input of source) {
    for (let at = 0; at < input.length; ) {
      at += await pass(input.subarray(at), Z_NO_FLUSH);
      if (filled === CHUNK) yield next();
    }
  }
  for (;;) {
    await pass(EMPTY, Z_FINISH);
    if (filled < CHUNK) break;
    yield next();
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

class Inflater implements Disposable {
  readonly #handle: Handle;
  readonly #result = new Uint32Array(2);
  #pending = Promise.withResolvers<void>();

  constructor() {
    this.#handle = newHandle();
    this.#handle.onerror = (message) => this.#pending.reject(notGzip(message));
    this.#handle.init(MAX_WINDOW_BITS, 0, 0, 0, this.#result, () => this.#pending.resolve(), undefined);
  }

  /** Undoes as much as there is input or room for. */
  async pass(
    flush: number,
    input: Uint8Array,
    room: Uint8Array,
  ): Promise<{ readonly made: number; readonly used: number }> {
    this.#pending = Promise.withResolvers();
    this.#handle.write(flush, input, 0, input.length, room, 0, room.length);
    await this.#pending.promise;
    const [roomLeft = 0, inputLeft = 0] = this.#result;
    return { made: room.length - roomLeft, used: input.length - inputLeft };
  }

  /** Nothing is on its way then: whoever reads waits for each pass. */
  [Symbol.dispose](): void {
    this.#handle.close();
  }
}

function newHandle(): Handle {
  const stream = createGunzip();
  const { _handle: own } = stream as unknown as { readonly _handle?: object };
  const made: unknown =
    own === undefined ? undefined : Reflect.construct(own.constructor as new () => unknown, [GUNZIP]);
  stream.close();
  if (!isHandle(made)) throw new CtrError("internal", "the interpreter's zlib is not what it was");
  return made;
}

function isHandle(value: unknown): value is Handle {
  return (
    typeof value === "object" &&
    value !== null &&
    ["init", "write", "close"].every((name) => typeof Reflect.get(value, name) === "function")
  );
}

function notGzip(why: string): CtrError {
  return new CtrError("invalid", `not valid gzip data: ${why}`);
}
