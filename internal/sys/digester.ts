/**
 * Hashing a stream, and writing it to a file, on a thread of its own (csrc/digester.c), while this side reads on and does
 * what else is to be done with it. Short streams are not worth a thread: they are passed at once.
 */
import { CtrError } from "../errors/error.ts";
import { check, lib } from "./lib.ts";

/** What is passed before a thread is started. */
const SHORT_BYTES = 64 * 1024;
/** Pieces that may be on their way; not more than HELD_CHUNKS of spec/layer-entry.ts, whose memory is used again. */
const PIECES = 8;

// struct ctr_digester, in words of 32 bits.
const FD_AT = 6;
const WORDS = 8 + 8 + 4 + PIECES * 4 + 16;

export class Digester implements Disposable {
  readonly #state = new Int32Array(new ArrayBuffer(WORDS * 4));
  readonly #path: string | undefined;
  /** Hashes where the processor has no instructions for it. */
  readonly #hasher: Bun.CryptoHasher | undefined;
  /** Pieces that must stay where they are until the thread is done with them. */
  readonly #held: (Uint8Array | undefined)[] = [];
  #submitted = 0;
  #passed = 0;
  #isThreaded = false;
  #hex: string | undefined;

  /** What passes is written to `fd` if there is one, which stays the caller's; `path` is named in errors. */
  constructor(fd = -1, path?: string) {
    this.#state[FD_AT] = fd;
    this.#path = path;
    if (Number(lib.ctr_digester_begin(this.#state)) === 0) this.#hasher = new Bun.CryptoHasher("sha256");
  }

  /**
   * Hashes and writes the bytes in their turn; they must not change before `settle`, or before eight more pieces were
   * passed. Throws what went wrong in writing, perhaps that of an earlier piece.
   */
  update(bytes: Uint8Array): void {
    if (this.#hex !== undefined) throw new CtrError("internal", "the digest is finished");
    if (bytes.length === 0) return;
    this.#hasher?.update(bytes);
    this.#passed += bytes.length;
    if (!this.#isThreaded && this.#passed <= SHORT_BYTES) {
      this.#check(lib.ctr_digester_pass(this.#state, bytes, bytes.length));
      return;
    }
    if (!this.#isThreaded) {
      check("pthread_create", lib.ctr_digester_start(this.#state));
      this.#isThreaded = true;
    }
    this.#held[this.#submitted++ % PIECES] = bytes;
    this.#check(lib.ctr_digester_submit(this.#state, bytes, bytes.length));
  }

  /** Waits until all is hashed and written. Throws as `update`. */
  settle(): void {
    if (this.#isThreaded) this.#check(lib.ctr_digester_wait(this.#state, 0));
    this.#held.length = 0;
  }

  /** The digest of all that has passed, in hexadecimal; nothing may pass afterwards. */
  hex(): string {
    this.settle();
    this.#hex ??= this.#hasher?.digest("hex") ?? this.#end();
    return this.#hex;
  }

  /** Stops, whether all has passed or not. */
  [Symbol.dispose](): void {
    if (!this.#isThreaded) return;
    this.#isThreaded = false;
    lib.ctr_digester_end(this.#state);
    this.#held.length = 0;
  }

  #end(): string {
    const digest = new Uint8Array(32);
    lib.ctr_digester_end_hash(this.#state, digest);
    return digest.toHex();
  }

  #check(result: number | bigint): void {
    check("write", result, this.#path);
  }
}
