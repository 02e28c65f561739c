/** Bytes that have arrived and are not used up yet: exact reads for a parser of fixed-size blocks, mostly without copies. */
import { CtrError } from "../errors/error.ts";

/** What a reading generator yields when it cannot go on before more has arrived. */
export type Starved = undefined;

export class ByteQueue {
  #chunk: Uint8Array = EMPTY;
  #at = 0;
  #isEnded = false;

  /** Adds a chunk; only when the one before is used up, that is after a reader yielded. */
  give(chunk: Uint8Array): void {
    this.#chunk = this.#at >= this.#chunk.length ? chunk : join(this.#chunk.subarray(this.#at), chunk);
    this.#at = 0;
  }

  /** How many bytes are here and not used up. */
  get left(): number {
    return this.#chunk.length - this.#at;
  }

  /** What is here, and what was before it in the same chunk. */
  get chunk(): Uint8Array {
    return this.#chunk;
  }

  /** Where in `chunk` that begins which is not used up. */
  get at(): number {
    return this.#at;
  }

  /** Passes over `size` bytes if they are already here; otherwise false. */
  skipNow(size: number): boolean {
    if (this.left < size) return false;
    this.#at += size;
    return true;
  }

  /** Forgets what is here. */
  clear(): void {
    this.#chunk = EMPTY;
    this.#at = 0;
  }

  /** Says that nothing more will come. */
  end(): void {
    this.#isEnded = true;
  }

  /** Exactly `size` bytes if they are already here, as a view that is valid for good; otherwise undefined. */
  takeNow(size: number): Uint8Array | undefined {
    const end = this.#at + size;
    if (this.#chunk.length < end) return undefined;
    const view = this.#chunk.subarray(this.#at, end);
    this.#at = end;
    return view;
  }

  /** Exactly `size` bytes; fewer only if the source ended, and then all that was left. */
  *take(size: number): Generator<Starved, Uint8Array, undefined> {
    const now = this.takeNow(size);
    if (now !== undefined) return now;
    const whole = new Uint8Array(size);
    for (let filled = 0; filled < size; ) {
      const part = yield* this.some(size - filled);
      if (part.length === 0) return whole.subarray(0, filled);
      whole.set(part, filled);
      filled += part.length;
    }
    return whole;
  }

  /** At least one and at most `size` bytes, whatever is here first; empty once the source has ended. */
  *some(size: number): Generator<Starved, Uint8Array, undefined> {
    while (this.#at >= this.#chunk.length && !this.#isEnded) yield;
    const view = this.#chunk.subarray(this.#at, Math.min(this.#chunk.length, this.#at + size));
    this.#at += view.length;
    return view;
  }

  /** Passes over `size` bytes; throws if the source ends before. */
  *skip(size: number): Generator<Starved, void, undefined> {
    for (let left = size; left > 0; ) {
      const part = yield* this.some(left);
      if (part.length === 0) throw truncated();
      left -= part.length;
    }
  }

  /** Reads and forgets everything up to the end, so that whoever counts or hashes the source sees all of it. */
  *drain(): Generator<Starved, void, undefined> {
    while ((yield* this.some(Number.MAX_SAFE_INTEGER)).length > 0);
  }
}

const EMPTY = new Uint8Array(0);

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}

/** What is said when an archive stops in the middle. */
export function truncated(): CtrError {
  return new CtrError("invalid", "unexpected end of archive");
}
