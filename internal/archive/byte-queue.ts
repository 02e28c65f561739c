/** Exact reads over a stream of chunks: what a parser of fixed-size blocks needs, without copying the large ones. */
import { CtrError } from "../errors/error.ts";

export class ByteQueue {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = EMPTY;
  #at = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `size` bytes if they are already here, as a view that is valid for good; otherwise undefined. */
  takeNow(size: number): Uint8Array | undefined {
    if (this.#chunk.length - this.#at < size) return undefined;
    const view = this.#chunk.subarray(this.#at, this.#at + size);
    this.#at += size;
    return view;
  }

  /** Exactly `size` bytes; fewer only if the source ended, and then at least what was left. */
  async take(size: number): Promise<Uint8Array> {
    const now = this.takeNow(size);
    if (now !== undefined) return now;
    const whole = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const part = await this.some(size - filled);
      if (part.length === 0) return whole.subarray(0, filled);
      whole.set(part, filled);
      filled += part.length;
    }
    return whole;
  }

  /** At least one and at most `size` bytes, whatever is here first; empty once the source has ended. */
  async some(size: number): Promise<Uint8Array> {
    if (this.#at >= this.#chunk.length) await this.#fill();
    const view = this.#chunk.subarray(this.#at, Math.min(this.#chunk.length, this.#at + size));
    this.#at += view.length;
    return view;
  }

  /** Passes over `size` bytes; throws if the source ends before. */
  async skip(size: number): Promise<void> {
    for (let left = size; left > 0; ) {
      const part = await this.some(left);
      if (part.length === 0) throw truncated();
      left -= part.length;
    }
  }

  /** Reads and forgets everything up to the end, so that whoever counts or hashes the source sees all of it. */
  async drain(): Promise<void> {
    while ((await this.some(Number.MAX_SAFE_INTEGER)).length > 0);
  }

  /** Tells the source that nothing more will be read. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #fill(): Promise<void> {
    while (!this.#ended) {
      const next = await this.#source.next();
      if (next.done === true) {
        this.#ended = true;
        break;
      }
      if (next.value.length > 0) {
        this.#chunk = next.value;
        this.#at = 0;
        return;
      }
    }
    this.#chunk = EMPTY;
    this.#at = 0;
  }
}

const EMPTY = new Uint8Array(0);

/** What is said when an archive stops in the middle. */
export function truncated(): CtrError {
  return new CtrError("invalid", "unexpected end of archive");
}
