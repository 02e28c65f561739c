/** What `ctr logs` shows: the log from where it was asked, with times if wanted, and what is still to come. */
import { ESRCH, isErrno } from "../../errors/error.ts";
import { type Fd, POLLERR, POLLHUP, POLLIN } from "../../sys/fd.ts";
import { pidfdOpen } from "../../sys/process.ts";
import { IN_MODIFY, inotifyAddWatch, inotifyDrain, inotifyInit, pollAny } from "../../sys/watch.ts";
import type { RuntimeRecord } from "../record.ts";
import { hasKeeper } from "../store.ts";
import { LogReader, openLog, type TakeBytes, type TakeLine } from "./reader.ts";
import { LOG_STDOUT, type LogStream } from "./record.ts";
import { FROM_THE_START, startOfSince, startOfTail } from "./start.ts";

export interface LogRequest {
  /** Prefix every line with its time, RFC 3339 with nine decimals, UTC. */
  readonly timestamps: boolean;
  /** Only so many lines from the end; undefined for all. */
  readonly tail?: number;
  readonly sinceNs?: bigint;
  readonly untilNs?: bigint;
}

/** The container's run that a follower stays with: it ends with it, however its supervisor ends. */
export interface Following {
  readonly runtime: RuntimeRecord;
  /** Whose reader may go away: then following ends. */
  readonly outputFds: readonly number[];
}

/** Writes the log to `write`, and with `following` what comes until the run ends. Returns when there is nothing more. */
export function printLog(path: string, request: LogRequest, write: TakeBytes, following?: Following): void {
  const fd = openLog(path);
  if (fd === undefined) return;
  using log = new DisposableStack();
  // The watch comes before the first read: what is written in between makes it readable.
  const watch = following === undefined ? undefined : log.use(Watch.of(path, following));
  const printer = new Printer(fd, request, write);
  log.use(printer);
  printer.print();
  while (watch !== undefined && !printer.isDone) {
    const isOver = watch.wait();
    printer.print();
    if (isOver) break;
  }
  printer.finish();
}

class Printer implements Disposable {
  readonly #reader: LogReader;
  readonly #write: TakeBytes;
  readonly #request: LogRequest;
  readonly #batch: Batch;
  readonly #prefix = new TimePrefix();
  #skipLines: number;
  readonly #skipFragments: Set<LogStream>;
  /** True while the line that is given out in pieces is left out. */
  readonly #isSkipping: { [stream: number]: boolean } = {};
  readonly #isPlain: boolean;
  #isPastUntil = false;

  constructor(fd: Fd, request: LogRequest, write: TakeBytes) {
    this.#request = request;
    this.#write = write;
    this.#batch = new Batch(write);
    const { tail, sinceNs, untilNs } = request;
    const start =
      tail !== undefined
        ? startOfTail(fd.number, tail)
        : sinceNs !== undefined
          ? startOfSince(fd.number, sinceNs)
          : FROM_THE_START;
    this.#skipLines = start.skipLines;
    this.#skipFragments = new Set(start.skipFragments);
    this.#isPlain = !request.timestamps && tail === undefined && sinceNs === undefined && untilNs === undefined;
    this.#reader = new LogReader(fd, start.position);
  }

  get isDone(): boolean {
    return this.#reader.isAtEndOfRun || this.#isPastUntil;
  }

  /** Everything up to the end of what is there. */
  print(): void {
    if (this.#isPlain) {
      this.#reader.copy(this.#write);
      return;
    }
    this.#reader.lines(this.#take);
    this.#batch.flush();
  }

  finish(): void {
    if (this.#isPlain) return;
    this.#reader.flush(this.#take);
    this.#batch.flush();
  }

  readonly #take: TakeLine = (stream, bytes, timeNs, startsLine) => {
    if (startsLine) this.#isSkipping[stream] = this.#isLeftOut(stream, timeNs);
    if (this.#isSkipping[stream] === true) return;
    if (startsLine && this.#request.timestamps) this.#batch.add(stream, this.#prefix.of(timeNs));
    this.#batch.add(stream, bytes);
  };

  #isLeftOut(stream: LogStream, timeNs: bigint): boolean {
    const { sinceNs, untilNs } = this.#request;
    if (this.#skipFragments.delete(stream)) return true;
    if (this.#skipLines > 0) {
      this.#skipLines--;
      return true;
    }
    if (untilNs !== undefined && timeNs > untilNs) {
      this.#isPastUntil = true;
      return true;
    }
    return sinceNs !== undefined && timeNs < sinceNs;
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }
}

const BATCH_BYTES = 256 << 10;

/** Puts small pieces of the same stream together, so that a million lines are not a million writes. */
class Batch {
  readonly #write: TakeBytes;
  readonly #buffer = new Uint8Array(BATCH_BYTES);
  #used = 0;
  #stream: LogStream = LOG_STDOUT;

  constructor(write: TakeBytes) {
    this.#write = write;
  }

  add(stream: LogStream, bytes: Uint8Array): void {
    if (stream !== this.#stream || this.#used + bytes.length > BATCH_BYTES) this.flush();
    this.#stream = stream;
    if (bytes.length > BATCH_BYTES) {
      this.#write(stream, bytes);
      return;
    }
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  flush(): void {
    if (this.#used > 0) this.#write(this.#stream, this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}

/** `2026-11-21T12:00:00.123456789Z `, as bytes: lines of one record share it, records of one second most of it. */
class TimePrefix {
  readonly #bytes = new TextEncoder().encode(`${formatTime(0n)} `);
  #timeNs = 0n;
  #secondNs = 0n;

  /** Valid until the next call. */
  of(timeNs: bigint): Uint8Array {
    if (timeNs === this.#timeNs) return this.#bytes;
    this.#timeNs = timeNs;
    let rest = Number(timeNs - this.#secondNs);
    if (rest < 0 || rest >= NS_PER_SECOND) {
      this.#secondNs = timeNs - (timeNs % BigInt(NS_PER_SECOND));
      rest = Number(timeNs - this.#secondNs);
      new TextEncoder().encodeInto(formatTime(this.#secondNs), this.#bytes);
    }
    for (let at = LAST_DECIMAL; at > LAST_DECIMAL - 9; at--) {
      const next = Math.trunc(rest / 10);
      this.#bytes[at] = ZERO + rest - 10 * next;
      rest = next;
    }
    return this.#bytes;
  }
}

const NS_PER_SECOND = 1_000_000_000;
const LAST_DECIMAL = "2026-11-21T12:00:00.123456789".length - 1;
const ZERO = 48;

/** RFC 3339 with nine decimals, UTC. */
export function formatTime(timeNs: bigint): string {
  const ms = Number(timeNs / 1_000_000n);
  const rest = Number(timeNs % 1_000_000n);
  return `${new Date(ms).toISOString().slice(0, -1)}${String(rest).padStart(6, "0")}Z`;
}

/** What a follower waits for: a longer log, the end of the supervisor, the end of its own readers. */
class Watch implements Disposable {
  readonly #inotify: Fd;
  readonly #supervisor: Fd | undefined;
  readonly #outputs: readonly number[];

  private constructor(inotify: Fd, supervisor: Fd | undefined, outputs: readonly number[]) {
    this.#inotify = inotify;
    this.#supervisor = supervisor;
    this.#outputs = outputs;
  }

  static of(path: string, following: Following): Watch {
    using stack = new DisposableStack();
    const inotify = stack.use(inotifyInit());
    inotifyAddWatch(inotify.number, path, IN_MODIFY);
    const supervisor = pidfdOf(following.runtime);
    stack.move();
    return new Watch(inotify, supervisor, following.outputFds);
  }

  /** Waits; true when nothing more will come, or nobody reads any more. What is there is still to be read then. */
  wait(): boolean {
    if (this.#supervisor === undefined) return true;
    const [changed = 0, ended = 0, ...outputs] = pollAny(
      [
        { fd: this.#inotify.number, events: POLLIN },
        { fd: this.#supervisor.number, events: POLLIN },
        ...this.#outputs.map((fd) => ({ fd, events: 0 })),
      ],
      -1,
    );
    if (changed !== 0) inotifyDrain(this.#inotify.number);
    return ended !== 0 || outputs.some((events) => (events & (POLLERR | POLLHUP)) !== 0);
  }

  [Symbol.dispose](): void {
    this.#inotify.close();
    this.#supervisor?.close();
  }
}

/** The supervisor's pidfd; undefined when it is gone. */
function pidfdOf(runtime: RuntimeRecord): Fd | undefined {
  let pidfd: Fd;
  try {
    pidfd = pidfdOpen(runtime.supervisorPid);
  } catch (error) {
    if (isErrno(error, ESRCH)) return undefined;
    throw error;
  }
  // Asked after opening: the number could have been given to another process before.
  if (hasKeeper(runtime)) return pidfd;
  pidfd.close();
  return undefined;
}
