/** What `ctr logs` shows: the log from where it was asked, with times if wanted, and what is still to come. */
import { ESRCH, isErrno } from "../../errors/error.ts";
import { type Fd, POLLERR, POLLHUP, POLLIN } from "../../sys/fd.ts";
import { pidfdOpen } from "../../sys/process.ts";
import {
  IN_CREATE,
  IN_MODIFY,
  IN_MOVED_TO,
  inotifyAddWatch,
  inotifyDrain,
  inotifyInit,
  pollAny,
} from "../../sys/watch.ts";
import type { RuntimeRecord } from "../record.ts";
import { hasKeeper } from "../store.ts";
import { JsonReader } from "./json-reader.ts";
import { LocalReader } from "./local-reader.ts";
import { type FileReader, FROM_THE_START, type LogStart, type TakeBytes, type TakeLine } from "./reader.ts";
import { LOG_STDOUT, type LogStream } from "./record.ts";
import { directoryOf } from "./rotating-file.ts";
import { hasRotated, openSegments, type Segment, segmentsAfter } from "./segments.ts";

export interface LogRequest {
  /** Prefix every line with its time, RFC 3339 with nine decimals, UTC. */
  readonly timestamps: boolean;
  /** Only so many lines from the end; undefined for all. */
  readonly tail?: number;
  readonly sinceNs?: bigint;
  readonly untilNs?: bigint;
  /** Prefix every line with its attributes; those given here where the log itself does not hold them. */
  readonly details?: string;
}

/** Where a log is, and how it is written. */
export interface LogSource {
  readonly path: string;
  readonly format: "local" | "json-file";
}

/** The container's run that a follower stays with: it ends with it, however its supervisor ends. */
export interface Following {
  readonly runtime: RuntimeRecord;
  /** Whose reader may go away: then following ends. */
  readonly outputFds: readonly number[];
}

/** Writes the log to `write`, and with `following` what comes until the run ends. Returns when there is nothing more. */
export function printLog(source: LogSource, request: LogRequest, write: TakeBytes, following?: Following): void {
  const { path } = source;
  using log = new DisposableStack();
  // The watch comes before the first read: what is written in between makes it readable.
  const watch = following === undefined ? undefined : log.use(Watch.of(path, following));
  const segments = openSegments(path);
  for (const segment of segments) log.use(segment);
  const printer = new Printer(segments, source, request, write, following === undefined);
  let current = printer.printAll(segments);
  // What ended an earlier run is not the end of this one.
  const startNs = following === undefined ? 0n : parseTime(following.runtime.startedAt);
  while (watch !== undefined && !printer.isDone(startNs)) {
    const isOver = watch.wait();
    current = printNew(path, printer, current, log);
    if (isOver) break;
  }
  printer.finish();
}

/** The moment of a record's time, to the millisecond; 0 for none. */
function parseTime(text: string | undefined): bigint {
  return text === undefined ? 0n : BigInt(Date.parse(text)) * 1_000_000n;
}

/** What has come since: the end of the file, and the files after it. The last of them is the next one to look at. */
function printNew(
  path: string,
  printer: Printer,
  current: Segment | undefined,
  log: DisposableStack,
): Segment | undefined {
  let newer: Segment[] = [];
  if (current === undefined) newer = openSegments(path);
  // Nothing is written to a file that has a newer one: its end is read after that has been seen.
  else if (hasRotated(path, current)) newer = segmentsAfter(path, current);
  if (current !== undefined) printer.print();
  const last = newer.at(-1);
  if (last === undefined) return current;
  printer.printAll(newer);
  current?.[Symbol.dispose]();
  log.use(last);
  return last;
}

/** Clocks and files' times are not the same: a file is left out only if it is older by more than this. */
const CLOCK_MARGIN_NS = 2_000_000_000n;

class Printer {
  readonly #reader: FileReader;
  readonly #write: TakeBytes;
  readonly #request: LogRequest;
  readonly #batch: Batch;
  readonly #prefix = new TimePrefix();
  #skipLines: number;
  /** So many lines still come out: a container may write on while its last lines are shown. */
  #linesLeft: number;
  readonly #skipFragments: Set<LogStream>;
  /** True while the line that is given out in pieces is left out. */
  readonly #isSkipping: { [stream: number]: boolean } = {};
  readonly #isPlain: boolean;
  #isPastUntil = false;
  /** Which of the first files to begin with, and where in it. */
  readonly #first: number;
  #start: LogStart;
  #details = "";
  #detailsBytes = new Uint8Array(0);

  constructor(
    segments: readonly Segment[],
    source: LogSource,
    request: LogRequest,
    write: TakeBytes,
    isLimited: boolean,
  ) {
    this.#request = request;
    this.#write = write;
    this.#batch = new Batch(write);
    this.#reader = source.format === "json-file" ? new JsonReader() : new LocalReader();
    const { segment, start } = findStart(segments, this.#reader, request);
    this.#first = segment;
    this.#start = start;
    this.#skipLines = start.skipLines;
    this.#linesLeft = isLimited ? (request.tail ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    this.#skipFragments = new Set(start.skipFragments);
    this.#isPlain =
      !request.timestamps &&
      [request.tail, request.sinceNs, request.untilNs, request.details].every((asked) => asked === undefined);
  }

  /** Everything in these files, from the place to begin on; the last of them. */
  printAll(segments: readonly Segment[]): Segment | undefined {
    const { position } = this.#start;
    const from = this.#start === FROM_THE_START ? 0 : this.#first;
    this.#start = FROM_THE_START;
    const last = segments.at(-1);
    for (const [at, segment] of segments.slice(from).entries()) {
      if (this.#isPastUntil) break;
      this.#reader.use(segment.plain(), at === 0 ? position : 0);
      this.print();
      if (segment !== last) segment[Symbol.dispose]();
    }
    return last;
  }

  /** True when nothing more is wanted, or the end of a run that began at `sinceNs` or later has been read. */
  isDone(sinceNs: bigint): boolean {
    const { endOfRunNs } = this.#reader;
    return this.#isPastUntil || (endOfRunNs !== undefined && endOfRunNs >= sinceNs);
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
    if (startsLine && this.#request.details !== undefined) this.#addDetails(stream, this.#request.details);
    this.#batch.add(stream, bytes);
  };

  /** Each line's own, where the log has them; a blank follows in any case. */
  #addDetails(stream: LogStream, otherwise: string): void {
    const details = `${this.#reader.attributes ?? otherwise} `;
    if (details !== this.#details) this.#detailsBytes = new TextEncoder().encode(details);
    this.#details = details;
    this.#batch.add(stream, this.#detailsBytes);
  }

  #isLeftOut(stream: LogStream, timeNs: bigint): boolean {
    const { sinceNs, untilNs } = this.#request;
    if (this.#skipFragments.delete(stream)) return true;
    if (this.#skipLines > 0) {
      this.#skipLines--;
      return true;
    }
    if (this.#linesLeft === 0) return true;
    this.#linesLeft--;
    if (untilNs !== undefined && timeNs > untilNs) {
      this.#isPastUntil = true;
      return true;
    }
    return sinceNs !== undefined && timeNs < sinceNs;
  }
}

/** In which file to begin and where, so that what is left out is not read. */
function findStart(
  segments: readonly Segment[],
  reader: FileReader,
  { tail, sinceNs }: LogRequest,
): { readonly segment: number; readonly start: LogStart } {
  if (tail !== undefined) {
    let wanted = tail;
    for (let at = segments.length - 1; at >= 0; at--) {
      const start = reader.startOfTail(segments[at]?.plain() ?? -1, wanted);
      const lines = start.lines ?? 0;
      if (at === 0 || lines >= wanted) return { segment: at, start };
      wanted -= lines;
    }
  }
  if (sinceNs !== undefined && tail === undefined) {
    const at = segments.findIndex(({ mtimeNs }) => mtimeNs + CLOCK_MARGIN_NS >= sinceNs);
    const segment = at < 0 ? Math.max(0, segments.length - 1) : at;
    const first = segments[segment];
    if (first !== undefined) return { segment, start: reader.startOfSince(first.plain(), sinceNs) };
  }
  return { segment: 0, start: FROM_THE_START };
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
    // The directory: the file that is written changes its name when it is full.
    inotifyAddWatch(inotify.number, directoryOf(path), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
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
