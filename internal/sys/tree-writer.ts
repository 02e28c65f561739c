/**
 * Making many files on a thread of its own (csrc/tree-writer.c): steps are written down here in batches and carried out
 * there in order, while this side reads and hashes on. A step that fails stops the thread; whoever wrote it down is told,
 * puts right what can be put right, and says how to go on.
 */
import { ptr } from "bun:ffi";
import { CtrError, SyscallError } from "../errors/error.ts";
import { check, lib } from "./lib.ts";

const SLOTS = 64;
const BATCHES = 4;
const STEP_BYTES = 64;
const MAX_STEPS = 1024;
const TEXT_BYTES = 256 * 1024;
/** Content a batch waits for before it is handed over: enough to keep the thread busy, little enough to hold. */
const CONTENT_BYTES = 1 << 20;

/** Slots hold open directories; the root has the first, the others are the caller's to fill again and again. */
export const ROOT_SLOT = 0;
export const FIRST_SLOT = 1;
export const SLOT_COUNT = SLOTS;
/** Where a step speaks of the open file instead of a directory. */
export const FILE_SLOT = -1;

/** The kinds of steps, in the order of `enum step_kind` of csrc/tree-writer.c, which begins at 1. */
const STEPS = [
  "open-directory",
  "make-directory",
  "make-file",
  "write",
  "hole",
  "truncate",
  "set-xattr",
  "end-file",
  "close-file",
  "finish-file",
  "make-symlink",
  "make-link",
  "set-time",
] as const;

export type Step = (typeof STEPS)[number];

/** The system call a step fails with, as errors name it. */
const SYSCALLS: { readonly [kind in Step]: string } = {
  "open-directory": "open",
  "make-directory": "mkdir",
  "make-file": "open",
  write: "write",
  hole: "lseek",
  truncate: "ftruncate",
  "set-xattr": "setxattr",
  "end-file": "chown",
  "close-file": "utimensat",
  "finish-file": "chown",
  "make-symlink": "symlink",
  "make-link": "link",
  "set-time": "utimensat",
};

export interface Owner {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
}

/** Answers a failed step: the error may be thrown on, or its cause removed (`retry`), or the step left out (`skip`). */
export type OnFailure<Tag> = (step: Step, error: SyscallError, tag: Tag) => Promise<"retry" | "skip">;

interface Batch<Tag> {
  readonly words: Int32Array;
  readonly longs: BigInt64Array;
  readonly steps: Uint8Array;
  readonly text: Buffer;
  /** Whose each step is. */
  readonly tags: Tag[];
  /** Content that must stay where it is until the batch is done. */
  readonly held: Uint8Array[];
  textEnd: number;
  contentBytes: number;
}

/** Every path is one name, or what the caller has checked; names are latin-1 text of their bytes, so that none is lost. */
export class TreeWriter<Tag> implements Disposable {
  readonly #state: Int32Array;
  readonly #batches: readonly Batch<Tag>[];
  readonly #onFailure: OnFailure<Tag>;
  #batch: Batch<Tag>;
  #submitted = 0;
  #isEnded = false;

  /** Takes the descriptor of the root over. */
  constructor(root: number, onFailure: OnFailure<Tag>) {
    // struct ctr_tree_writer: 8 words, the slots, 4 batches of 24 bytes, the thread.
    const state = new Int32Array(new ArrayBuffer(32 + SLOTS * 4 + BATCHES * 24 + 8));
    state.fill(-1, FILE_AT, SLOTS_AT + SLOTS);
    state[SLOTS_AT + ROOT_SLOT] = root;
    this.#state = state;
    this.#onFailure = onFailure;
    this.#batches = Array.from({ length: BATCHES }, newBatch<Tag>);
    const [first] = this.#batches;
    if (first === undefined) throw new CtrError("internal", "no batches");
    this.#batch = first;
    check("pthread_create", lib.ctr_tree_writer_start(state));
  }

  /** True once enough is written down: `flush` before the next file or piece of content. */
  get isFull(): boolean {
    const { tags, textEnd, contentBytes } = this.#batch;
    return tags.length >= MAX_STEPS - 64 || textEnd >= TEXT_BYTES / 2 || contentBytes >= CONTENT_BYTES;
  }

  /** `flags` of open(2), `resolve` of openat2(2); `path` from the root. */
  openDirectory(tag: Tag, slot: number, path: string, flags: number, resolve: number): void {
    const at = this.#step(tag, "open-directory", ROOT_SLOT, slot, path);
    this.#batch.words[at + MODE] = flags;
    this.#batch.longs[(at >> 1) + SIZE] = BigInt(resolve);
  }

  makeDirectory(tag: Tag, directory: number, slot: number, name: string, owner: Owner): void {
    this.#owner(this.#step(tag, "make-directory", directory, slot, name), owner);
  }

  /** Opens a new file; what follows until `closeFile` is about it. */
  makeFile(tag: Tag, directory: number, name: string, mode: number): void {
    this.#batch.words[this.#step(tag, "make-file", directory, FILE_SLOT, name) + MODE] = mode;
  }

  /** The bytes must not change until the step is done: see `mark`. */
  write(tag: Tag, bytes: Uint8Array): void {
    this.#data(this.#step(tag, "write", ROOT_SLOT, FILE_SLOT, ""), bytes);
    this.#batch.contentBytes += bytes.length;
  }

  hole(tag: Tag, size: number): void {
    this.#batch.longs[(this.#step(tag, "hole", ROOT_SLOT, FILE_SLOT, "") >> 1) + SIZE] = BigInt(size);
  }

  truncate(tag: Tag, size: number): void {
    this.#batch.longs[(this.#step(tag, "truncate", ROOT_SLOT, FILE_SLOT, "") >> 1) + SIZE] = BigInt(size);
  }

  /** Of the directory in a slot, or of the open file (`FILE_SLOT`). */
  setXattr(tag: Tag, slot: number, name: string, value: Uint8Array): void {
    this.#data(this.#step(tag, "set-xattr", ROOT_SLOT, slot, name), value);
    this.#batch.contentBytes += value.length;
  }

  /** Sets owner and mode; attributes come between this and `closeFile`. */
  endFile(tag: Tag, owner: Owner): void {
    this.#owner(this.#step(tag, "end-file", ROOT_SLOT, FILE_SLOT, ""), owner);
  }

  closeFile(tag: Tag, mtimeNs: bigint): void {
    this.#time(this.#step(tag, "close-file", ROOT_SLOT, FILE_SLOT, ""), mtimeNs);
  }

  /** `endFile` and `closeFile` in one, where there are no attributes between them. */
  finishFile(tag: Tag, owner: Owner, mtimeNs: bigint): void {
    const at = this.#step(tag, "finish-file", ROOT_SLOT, FILE_SLOT, "");
    this.#owner(at, owner);
    this.#time(at, mtimeNs);
  }

  makeSymlink(tag: Tag, directory: number, name: string, target: string, owner: Owner, mtimeNs: bigint): void {
    const at = this.#step(tag, "make-symlink", directory, FILE_SLOT, name);
    this.#batch.words[at + TARGET] = this.#text(target);
    this.#owner(at, owner);
    this.#time(at, mtimeNs);
  }

  /** `name` in one directory becomes another name of `target` in the directory of `targetSlot`. */
  makeLink(tag: Tag, directory: number, name: string, targetSlot: number, target: string): void {
    const at = this.#step(tag, "make-link", directory, targetSlot, name);
    this.#batch.words[at + TARGET] = this.#text(target);
  }

  setTime(tag: Tag, slot: number, mtimeNs: bigint): void {
    this.#time(this.#step(tag, "set-time", ROOT_SLOT, slot, ""), mtimeNs);
  }

  /** Hands over what is written down; waits only when the thread is far behind. */
  async flush(): Promise<void> {
    const batch = this.#batch;
    if (batch.tags.length === 0) return;
    const stopped = lib.ctr_tree_writer_submit(this.#state, batch.steps, batch.text, batch.tags.length);
    this.#submitted++;
    if (Number(stopped) !== 0) await this.#settle(BATCHES - 1);
    const next = this.#batches[this.#submitted % BATCHES];
    if (next === undefined) throw new CtrError("internal", "no batch");
    next.tags.length = 0;
    next.held.length = 0;
    next.textEnd = 0;
    next.contentBytes = 0;
    this.#batch = next;
  }

  /** Stands for everything written down so far, for `reach`. */
  mark(): number {
    return this.#batch.tags.length === 0 ? this.#submitted - 1 : this.#submitted;
  }

  /** Waits until everything up to a mark is done. */
  async reach(mark: number): Promise<void> {
    if (mark >= this.#submitted) await this.flush();
    await this.#settle(Math.max(0, this.#submitted - mark - 1));
  }

  /** Waits until every step is done. */
  async drain(): Promise<void> {
    await this.flush();
    await this.#settle(0);
  }

  /** Stops, whether all is done or not, and closes every descriptor. */
  [Symbol.dispose](): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    lib.ctr_tree_writer_end(this.#state);
  }

  /** Waits until at most `most` batches are not done, answering every failure on the way. */
  async #settle(most: number): Promise<void> {
    while (Number(lib.ctr_tree_writer_wait(this.#state, most)) !== 0) {
      const done = this.#state[DONE_AT] ?? 0;
      const batch = this.#batches[done % BATCHES];
      const failed = this.#state[BATCHES_AT + (done % BATCHES) * 6 + NEXT] ?? 0;
      const tag = batch?.tags[failed];
      if (batch === undefined || tag === undefined) throw new CtrError("internal", "a step that nobody wrote down");
      const at = failed * (STEP_BYTES / 4);
      const name = textAt(batch.text, batch.words[at + NAME] ?? 0);
      const step = STEPS[(batch.words[at] ?? 0) - 1];
      if (step === undefined) throw new CtrError("internal", "a step of no kind");
      const error = new SyscallError(SYSCALLS[step], this.#state[ERRNO_AT] ?? 0, name === "" ? undefined : name);
      const answer = await this.#onFailure(step, error, tag);
      lib.ctr_tree_writer_resume(this.#state, answer === "skip" ? 1 : 0);
    }
  }

  /** Writes a step down; the index of its first word. */
  #step(tag: Tag, kind: Step, directory: number, slot: number, name: string): number {
    const batch = this.#batch;
    const count = batch.tags.length;
    if (count >= MAX_STEPS) throw new CtrError("internal", "more steps than a batch holds");
    batch.tags.push(tag);
    const at = count * (STEP_BYTES / 4);
    const { words } = batch;
    words[at] = KIND_NUMBERS[kind];
    words[at + DIRECTORY] = directory;
    words[at + SLOT] = slot;
    words[at + NAME] = name === "" ? 0 : this.#text(name);
    return at;
  }

  /** Adds a NUL-terminated text to the batch; the empty one is always at 0. */
  #text(text: string): number {
    const batch = this.#batch;
    const start = batch.textEnd === 0 ? 1 : batch.textEnd;
    const end = start + batch.text.write(text, start, "latin1");
    if (end - start !== text.length || end >= TEXT_BYTES)
      throw new CtrError("internal", "more names than a batch holds");
    batch.text[end] = 0;
    batch.textEnd = end + 1;
    return start;
  }

  #owner(at: number, { uid, gid, mode }: Owner): void {
    const { words } = this.#batch;
    words[at + MODE] = mode;
    words[at + UID] = uid;
    words[at + GID] = gid;
  }

  #time(at: number, mtimeNs: bigint): void {
    const { longs } = this.#batch;
    // 64 bits of nanoseconds end in 2262.
    const whole = mtimeNs < MOST_NS && mtimeNs > -MOST_NS ? 0n : mtimeNs / SECOND;
    longs[(at >> 1) + SECONDS] = whole;
    longs[(at >> 1) + NANOSECONDS] = whole === 0n ? mtimeNs : mtimeNs - whole * SECOND;
  }

  #data(at: number, bytes: Uint8Array): void {
    const batch = this.#batch;
    batch.held.push(bytes);
    const address = bytes.length === 0 ? 0 : ptr(bytes);
    const { words } = batch;
    // Little-endian halves; a store takes a number modulo 2^32. A BigInt for each would be made only for this.
    words[at + 2 * DATA] = address;
    words[at + 2 * DATA + 1] = address / HALF;
    words[at + 2 * SIZE] = bytes.length;
    words[at + 2 * SIZE + 1] = bytes.length / HALF;
  }
}

const KIND_NUMBERS = Object.fromEntries(STEPS.map((step, index) => [step, index + 1])) as {
  readonly [kind in Step]: number;
};

// struct ctr_step: words from its start, then longs from its start.
const DIRECTORY = 1;
const SLOT = 2;
const MODE = 3;
const UID = 4;
const GID = 5;
const NAME = 6;
const TARGET = 7;
const DATA = 4;
const SIZE = 5;
const SECONDS = 6;
const NANOSECONDS = 7;

const HALF = 2 ** 32;
const SECOND = 1_000_000_000n;
const MOST_NS = 1n << 63n;

// struct ctr_tree_writer, in words; in a batch of it, `next` is the last.
const DONE_AT = 3;
const ERRNO_AT = 6;
const FILE_AT = 7;
const SLOTS_AT = 8;
const BATCHES_AT = SLOTS_AT + SLOTS;
const NEXT = 5;

function newBatch<Tag>(): Batch<Tag> {
  const steps = new ArrayBuffer(MAX_STEPS * STEP_BYTES);
  return {
    words: new Int32Array(steps),
    longs: new BigInt64Array(steps),
    steps: new Uint8Array(steps),
    text: Buffer.from(new ArrayBuffer(TEXT_BYTES)),
    tags: [],
    held: [],
    textEnd: 0,
    contentBytes: 0,
  };
}

function textAt(text: Buffer, at: number): string {
  return new TextDecoder().decode(text.subarray(at, text.indexOf(0, at)));
}
