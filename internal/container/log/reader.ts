/** Reads a log: whole in big pieces, or line by line with their times. */
import { CtrError } from "../../errors/error.ts";
import { pread } from "../../sys/fd.ts";
import { fstat } from "../../sys/file.ts";
import { END_OF_RUN, isLogHeader, LOG_HEADER_BYTES, LOG_STDERR, LOG_STDOUT, type LogStream } from "./record.ts";

/** Takes bytes of a stream; they are the reader's own and change after the call. */
export type TakeBytes = (stream: LogStream, bytes: Uint8Array) => void;

/**
 * Takes a piece of a line; `timeNs` is that of the record where the line starts. A piece is a whole line unless the
 * line is longer than the reader keeps, or the run ended without a newline.
 */
export type TakeLine = (stream: LogStream, bytes: Uint8Array, timeNs: bigint, startsLine: boolean) => void;

/** Reads the files of a log, one after the other, in one format. */
export interface FileReader {
  /** Goes on in this file, which its owner closes; what was unfinished in the one before is kept. */
  use(fd: number, position: number): void;
  /** Gives out everything up to the end of what is there, as large as it can. */
  copy(take: TakeBytes): void;
  /** Gives out the lines up to the end; an unfinished one is kept until it goes on, or `flush`. */
  lines(take: TakeLine): void;
  /** Gives out what is kept of unfinished lines. */
  flush(take: TakeLine): void;
  /** When a run ended, if its end was the last thing read: nothing follows unless the container is started again. */
  readonly endOfRunNs: bigint | undefined;
  /** Where in a file the last `count` lines begin; with fewer in it, its start, and how many there are. */
  startOfTail(fd: number, count: number): LogStart;
  /** Where the lines begin whose time is `sinceNs` or later. */
  startOfSince(fd: number, sinceNs: bigint): LogStart;
  /** The attributes of the line that is given out, if the file says. */
  readonly attributes: string | undefined;
}

/** A place to begin: the start of a record, and what to leave out from there. */
export interface LogStart {
  readonly position: number;
  /** So many lines are left out first. */
  readonly skipLines: number;
  /** How many come out after those; undefined where nobody counted. */
  readonly lines?: number;
  /** Streams whose first line there is the end of an earlier one, to be left out. */
  readonly skipFragments: readonly LogStream[];
}

export const FROM_THE_START: LogStart = { position: 0, skipLines: 0, skipFragments: [] };

const BUFFER_BYTES = 1 << 20;
const LEAST_BUFFER_BYTES = 64 << 10;
/** How much of an unfinished line is kept before it is given out in pieces. */
const MAX_PARTIAL_BYTES = 64 << 10;
const NEWLINE = 10;

/** An unfinished line of one stream. */
interface Partial {
  chunks: Uint8Array[];
  bytes: number;
  timeNs: bigint;
  /** False when the line's beginning was given out already. */
  isStart: boolean;
}

/** Reading stops at the end of what is there and goes on from there when called again. */
export class LogReader {
  #fd = -1;
  #buffer = new Uint8Array(0);
  #view = new DataView(this.#buffer.buffer);
  readonly #partials: { [stream: number]: Partial } = {
    [LOG_STDOUT]: { chunks: [], bytes: 0, timeNs: 0n, isStart: true },
    [LOG_STDERR]: { chunks: [], bytes: 0, timeNs: 0n, isStart: true },
  };
  #position = 0;
  /** Of the record the position is in. */
  #remaining = 0;
  #stream: LogStream = LOG_STDOUT;
  #timeNs = 0n;
  #isAtEndOfRun = false;

  use(fd: number, position: number): void {
    this.#fd = fd;
    this.#position = position;
    this.#remaining = 0;
    const wanted = Math.min(BUFFER_BYTES, Math.max(LEAST_BUFFER_BYTES, fstat(fd).size));
    if (wanted <= this.#buffer.length) return;
    this.#buffer = new Uint8Array(wanted);
    this.#view = new DataView(this.#buffer.buffer);
  }

  get endOfRunNs(): bigint | undefined {
    return this.#isAtEndOfRun ? this.#timeNs : undefined;
  }

  /** Bytes of the same stream are put together. */
  copy(take: TakeBytes): void {
    const buffer = this.#buffer;
    let start = 0;
    let end = 0;
    let stream: LogStream = LOG_STDOUT;
    const flush = () => {
      if (end > start) take(stream, buffer.subarray(start, end));
    };
    this.#walk(
      (from, to) => {
        if (end === start || stream !== this.#stream) {
          flush();
          stream = this.#stream;
          start = from;
          end = to;
          return;
        }
        // Over the header in between: the bytes before it have all been seen.
        buffer.copyWithin(end, from, to);
        end += to - from;
      },
      () => {
        flush();
        start = end = 0;
      },
    );
  }

  lines(take: TakeLine): void {
    this.#walk(
      (from, to) => this.#splitLines(from, to, take),
      () => {},
      () => this.flush(take),
    );
  }

  flush(take: TakeLine): void {
    for (const stream of [LOG_STDOUT, LOG_STDERR] as const) {
      const partial = this.#partial(stream);
      if (partial.bytes > 0) give(partial, stream, take);
      partial.isStart = true;
    }
  }

  #partial(stream: LogStream): Partial {
    const partial = this.#partials[stream];
    if (partial === undefined) throw new CtrError("internal", `log stream ${stream}`);
    return partial;
  }

  #splitLines(from: number, to: number, take: TakeLine): void {
    const stream = this.#stream;
    const partial = this.#partial(stream);
    const payload = this.#buffer.subarray(from, to);
    let at = 0;
    while (at < payload.length) {
      const newline = payload.indexOf(NEWLINE, at);
      const end = newline < 0 ? payload.length : newline + 1;
      const piece = payload.subarray(at, end);
      at = end;
      const isContinued = partial.bytes > 0 || !partial.isStart;
      if (newline >= 0 && !isContinued) {
        take(stream, piece, this.#timeNs, true);
        continue;
      }
      if (!isContinued) partial.timeNs = this.#timeNs;
      partial.chunks.push(newline >= 0 ? piece : piece.slice());
      partial.bytes += piece.length;
      if (newline < 0 && partial.bytes < MAX_PARTIAL_BYTES) continue;
      give(partial, stream, take);
      partial.isStart = newline >= 0;
    }
  }

  /** Visits the payloads from the position on, in buffer offsets; `onBuffer` when the buffer is about to be refilled. */
  #walk(visit: (from: number, to: number) => void, onBuffer: () => void, onEndOfRun: () => void = () => {}): void {
    for (;;) {
      const size = pread(this.#fd, this.#buffer, this.#position);
      let at = 0;
      while (at < size) {
        if (this.#remaining === 0) {
          if (size - at < LOG_HEADER_BYTES) break;
          if (!isLogHeader(this.#view, at)) {
            throw new CtrError("internal", `the log is damaged at byte ${this.#position + at}`);
          }
          this.#remaining = this.#view.getUint32(at, true);
          this.#stream = this.#view.getUint8(at + 4) === LOG_STDERR ? LOG_STDERR : LOG_STDOUT;
          this.#isAtEndOfRun = (this.#view.getUint8(at + 5) & END_OF_RUN) !== 0;
          this.#timeNs = this.#view.getBigUint64(at + 8, true);
          at += LOG_HEADER_BYTES;
          if (this.#isAtEndOfRun) onEndOfRun();
          if (this.#remaining === 0) continue;
        }
        const length = Math.min(this.#remaining, size - at);
        if (length === 0) break;
        visit(at, at + length);
        at += length;
        this.#remaining -= length;
      }
      onBuffer();
      this.#position += at;
      if (at === 0) return;
    }
  }
}

function give(partial: Partial, stream: LogStream, take: TakeLine): void {
  const [only] = partial.chunks;
  take(
    stream,
    partial.chunks.length === 1 && only !== undefined ? only : join(partial.chunks, partial.bytes),
    partial.timeNs,
    partial.isStart,
  );
  partial.chunks = [];
  partial.bytes = 0;
}

function join(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
