/**
 * `--log-opt mode=non-blocking`: the container never waits for its log. What the log has not taken waits here, up to
 * `max-buffer-size`; beyond it the oldest is dropped, and the log says how much when it takes something again.
 */
import { SyscallError } from "../../errors/error.ts";
import { LOG_STDERR, type LogStream } from "./record.ts";
import type { LogSink } from "./sink.ts";

/** Dropping goes by pieces of this size, at the ends of lines where there are any. */
const PIECE_BYTES = 16 << 10;
const NEWLINE = 10;

interface Piece {
  readonly stream: LogStream;
  readonly bytes: Uint8Array;
  readonly timeNs: bigint;
}

export class RingSink implements LogSink {
  readonly #sink: LogSink;
  readonly #limit: number;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  #draining: Promise<void> | undefined;
  #droppedBytes = 0;
  #endsLine: { [stream: number]: boolean } = {};

  constructor(sink: LogSink, limitBytes: number) {
    this.#sink = sink;
    this.#limit = limitBytes;
  }

  write(stream: LogStream, bytes: Uint8Array, timeNs: bigint): void {
    for (let at = 0; at < bytes.length; ) {
      const most = bytes.subarray(at, at + PIECE_BYTES);
      const lines = most.lastIndexOf(NEWLINE) + 1;
      const piece = lines === 0 ? most : most.subarray(0, lines);
      at += piece.length;
      this.#queue.push({ stream, bytes: piece.slice(), timeNs });
      this.#queuedBytes += piece.length;
      this.#drain();
      this.#dropOldest();
    }
  }

  /** The newest piece stays in any case. */
  #dropOldest(): void {
    while (this.#queuedBytes > this.#limit && this.#queue.length > 1) {
      const { bytes } = this.#queue.shift() ?? { bytes: new Uint8Array(0) };
      this.#queuedBytes -= bytes.length;
      this.#droppedBytes += bytes.length;
    }
  }

  /** Hands on what the log takes; while it keeps us waiting the rest stays. */
  #drain(): void {
    if (this.#draining !== undefined) return;
    for (let piece = this.#next(); piece !== undefined; piece = this.#next()) {
      const waiting = this.#hand(piece);
      if (waiting === undefined) continue;
      this.#draining = waiting.then(() => {
        this.#draining = undefined;
        this.#drain();
      });
      return;
    }
  }

  #next(): Piece | undefined {
    const first = this.#queue[0];
    if (first !== undefined && this.#droppedBytes > 0) {
      const line = `ctr: ${this.#droppedBytes} bytes of output were dropped here: the log is slower than the container\n`;
      this.#droppedBytes = 0;
      const begins = this.#endsLine[LOG_STDERR] === false ? "\n" : "";
      return { stream: LOG_STDERR, bytes: new TextEncoder().encode(begins + line), timeNs: first.timeNs };
    }
    this.#queue.shift();
    this.#queuedBytes -= first?.bytes.length ?? 0;
    return first;
  }

  #hand({ stream, bytes, timeNs }: Piece): Promise<void> | undefined {
    this.#endsLine[stream] = bytes[bytes.length - 1] === NEWLINE;
    try {
      return this.#sink.write(stream, bytes, timeNs) ?? undefined;
    } catch (error) {
      // A full disk: what did not fit is missing, and said to be.
      if (!(error instanceof SyscallError)) throw error;
      this.#droppedBytes += bytes.length;
      return undefined;
    }
  }

  async #drained(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
  }

  endStreams(timeNs: bigint): Promise<void> | undefined {
    if (this.#draining === undefined) return this.#sink.endStreams(timeNs);
    return this.#drained().then(() => this.#sink.endStreams(timeNs));
  }

  endRun(timeNs: bigint): void {
    this.#sink.endRun(timeNs);
  }

  get isBusy(): boolean {
    return this.#sink.isBusy;
  }

  close(): void {
    this.#sink.close();
  }
}
