/** Where in a log to begin, so that `--tail` and `--since` do not read what they leave out. */
import { pread } from "../../sys/fd.ts";
import { fstat } from "../../sys/file.ts";
import { type FileReader, FROM_THE_START, LogReader, type LogStart } from "./reader.ts";
import { END_OF_RUN, LOG_STDERR, LOG_STDOUT, type LogStream } from "./record.ts";
import { scanRecords } from "./scan.ts";

/** The engine's own format, read from where it was asked. */
export class LocalReader extends LogReader implements FileReader {
  readonly attributes = undefined;
  readonly startOfTail = startOfTail;
  readonly startOfSince = startOfSince;
}

/** A record's start, and where each stream's payload before it ends (0: nothing, or a run ended since). */
interface Checkpoint {
  readonly position: number;
  readonly stdoutEnd: number;
  readonly stderrEnd: number;
}

const CHECKPOINT_BYTES = 1 << 20;

/** Where the last `count` lines begin, in the order in which lines were finished. */
function startOfTail(fd: number, count: number): LogStart {
  const checkpoints = makeCheckpoints(fd, () => false);
  // Back from the end, each time twice as far, until enough lines follow.
  for (let back = 1; ; back *= 2) {
    const checkpoint = checkpoints[Math.max(0, checkpoints.length - back)];
    if (checkpoint === undefined) return { ...FROM_THE_START, lines: 0 };
    const { lines, fragmentLines } = countLines(fd, checkpoint);
    const skipLines = Math.max(0, lines - count);
    // A line whose beginning lies before the checkpoint may only be among those left out.
    if (checkpoint.position === 0 || (lines >= count && skipLines >= fragmentLines)) {
      return { position: checkpoint.position, skipLines, lines: lines - skipLines, skipFragments: [] };
    }
  }
}

/** Where the lines begin whose time is `sinceNs` or later. */
function startOfSince(fd: number, sinceNs: bigint): LogStart {
  const last = makeCheckpoints(fd, (timeNs) => timeNs >= sinceNs).at(-1);
  if (last === undefined) return FROM_THE_START;
  return { position: last.position, skipLines: 0, skipFragments: fragmentsAt(fd, last) };
}

/** One checkpoint per MiB and one where `isWanted` first holds, which then is the last one, or at the end of the log. */
function makeCheckpoints(fd: number, isWanted: (timeNs: bigint) => boolean): readonly Checkpoint[] {
  const checkpoints: Checkpoint[] = [];
  let next = 0;
  let stdoutEnd = 0;
  let stderrEnd = 0;
  let isFound = false;
  const end = scanRecords(fd, 0, fstat(fd).size, (record) => {
    isFound = isWanted(record.timeNs);
    if (isFound || record.start >= next) {
      checkpoints.push({ position: record.start, stdoutEnd, stderrEnd });
      next = record.start + CHECKPOINT_BYTES;
    }
    if ((record.flags & END_OF_RUN) !== 0) stdoutEnd = stderrEnd = 0;
    else if (record.stream === LOG_STDERR) stderrEnd = record.end;
    else stdoutEnd = record.end;
    return !isFound;
  });
  if (!isFound) checkpoints.push({ position: end, stdoutEnd, stderrEnd });
  return checkpoints;
}

/** The streams that are in the middle of a line at a checkpoint. */
function fragmentsAt(fd: number, checkpoint: Checkpoint): readonly LogStream[] {
  const last = new Uint8Array(1);
  const isInside = (end: number) => end > 0 && pread(fd, last, end - 1) === 1 && last[0] !== 10;
  const streams: LogStream[] = [];
  if (isInside(checkpoint.stdoutEnd)) streams.push(LOG_STDOUT);
  if (isInside(checkpoint.stderrEnd)) streams.push(LOG_STDERR);
  return streams;
}

/** How many lines come out from a checkpoint on, and how many of them until each fragment is behind. */
function countLines(fd: number, checkpoint: Checkpoint): { readonly lines: number; readonly fragmentLines: number } {
  const fragments = new Set(fragmentsAt(fd, checkpoint));
  const reader = new LogReader();
  reader.use(fd, checkpoint.position);
  let lines = 0;
  let fragmentLines = 0;
  const take = (stream: LogStream, _: Uint8Array, __: bigint, startsLine: boolean) => {
    if (startsLine) lines++;
    if (fragments.delete(stream)) fragmentLines = lines;
  };
  reader.lines(take);
  reader.flush(take);
  return { lines, fragmentLines };
}
