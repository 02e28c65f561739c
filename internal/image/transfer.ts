/** What pull and push have in common: what they tell about their progress, and how many transfers run at a time. */

/** One step of a transfer, in the words of Docker's progress stream. */
export interface TransferEvent {
  readonly status: string;
  /** The layer it is about: its short digest. */
  readonly layer?: string;
  /** Or the tag, or the digest in its place. */
  readonly tag?: string;
  /** Bytes so far, and all of them. */
  readonly progress?: { readonly current: number; readonly total: number };
}

/** As Docker's daemon, unless the configuration says otherwise. */
export const MAX_DOWNLOADS = 3;
export const MAX_UPLOADS = 5;

/** The first twelve digits of a digest: how layers are named in progress. */
export function shortDigest(digest: string): string {
  return digest.slice("sha256:".length, "sha256:".length + 12);
}

/** At most `count` at a time, in the order they came. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Runs `work` when its turn has come; `onWait` is called if that is not at once. */
  async run<T>(work: () => Promise<T>, onWait: () => void): Promise<T> {
    if (this.#free > 0) this.#free--;
    else {
      onWait();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
