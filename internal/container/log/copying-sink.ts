/** A log that is elsewhere, and the copy of it that `logs` reads. */
import { SyscallError } from "../../errors/error.ts";
import type { LogAppender } from "./append.ts";
import type { LogStream } from "./record.ts";
import type { LogSink } from "./sink.ts";

export class CopyingSink implements LogSink {
  readonly #copy: LogAppender;
  readonly #log: LogSink;

  constructor(copy: LogAppender, log: LogSink) {
    this.#copy = copy;
    this.#log = log;
  }

  write(stream: LogStream, bytes: Uint8Array, timeNs: bigint): Promise<void> | void {
    try {
      this.#copy.write(stream, bytes, timeNs);
    } catch (error) {
      // A full disk takes nothing from the log itself.
      if (!(error instanceof SyscallError)) throw error;
    }
    return this.#log.write(stream, bytes, timeNs);
  }

  endStreams(timeNs: bigint): Promise<void> | undefined {
    const ended = [this.#copy.endStreams(), this.#log.endStreams(timeNs)].filter((promise) => promise !== undefined);
    return ended.length === 0 ? undefined : Promise.all(ended).then(() => {});
  }

  endRun(timeNs: bigint): void {
    this.#log.endRun(timeNs);
    this.#copy.endRun(timeNs);
  }

  get isBusy(): boolean {
    return this.#copy.isBusy || this.#log.isBusy;
  }

  close(): void {
    this.#copy.close();
    this.#log.close();
  }
}
