/** A log that is kept elsewhere: messages on their way to it, in order, each sent once. */
import { LineSplitter, type LogMessage } from "./lines.ts";
import { LOG_STDERR, type LogStream } from "./record.ts";
import type { LogSink } from "./sink.ts";

/** Carries messages. True when a message is on its way, false when it is lost; a promise where that takes time. */
export interface Sender {
  send(bytes: Uint8Array): boolean | Promise<boolean>;
  /** True while it waits for something that is no event of the loop. */
  readonly isBusy: boolean;
  close(): void;
}

export class RemoteSink implements LogSink {
  readonly #sender: Sender;
  readonly #format: (message: LogMessage) => Uint8Array;
  readonly #lines = new LineSplitter();
  readonly #queue: Uint8Array[] = [];
  #sending: Promise<void> | undefined;
  #lost = 0;
  #lastNs = 0n;

  constructor(sender: Sender, format: (message: LogMessage) => Uint8Array) {
    this.#sender = sender;
    this.#format = format;
  }

  write(stream: LogStream, bytes: Uint8Array, timeNs: bigint): Promise<void> | undefined {
    this.#lastNs = timeNs;
    this.#lines.push(stream, bytes, timeNs, this.#take);
    return this.#send();
  }

  endStreams(): Promise<void> | undefined {
    this.#lines.flush(this.#take);
    return this.#send();
  }

  readonly #take = (message: LogMessage): void => {
    this.#queue.push(this.#format(message));
  };

  /** Sends what waits; undefined when that is done already. */
  #send(): Promise<void> | undefined {
    if (this.#sending !== undefined) return this.#sending;
    while (this.#queue.length > 0) {
      const outcome = this.#sendFirst();
      if (outcome === undefined) continue;
      this.#sending = outcome.then(() => {
        this.#sending = undefined;
        return this.#send();
      });
      return this.#sending;
    }
    return undefined;
  }

  #sendFirst(): Promise<void> | undefined {
    const isNotice = this.#lost > 0;
    const bytes = isNotice ? this.#notice() : this.#queue.shift();
    if (bytes === undefined) return undefined;
    const settle = (isSent: boolean) => {
      if (isNotice && isSent) this.#lost = 0;
      else if (!isSent) {
        // While the way is closed every message is lost, the one that the notice was to precede too.
        if (isNotice) this.#queue.shift();
        this.#lost++;
      }
    };
    const sent = this.#sender.send(bytes);
    if (typeof sent !== "boolean") return sent.then(settle);
    settle(sent);
    return undefined;
  }

  #notice(): Uint8Array {
    const text = `ctr: ${this.#lost} ${this.#lost === 1 ? "message was" : "messages were"} lost before this`;
    return this.#format({ stream: LOG_STDERR, bytes: new TextEncoder().encode(text), timeNs: this.#lastNs });
  }

  endRun(): void {}

  get isBusy(): boolean {
    return this.#sender.isBusy;
  }

  close(): void {
    this.#sender.close();
  }
}
