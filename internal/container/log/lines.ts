/**
 * Output cut into messages as Docker's drivers have them: a line without its newline, or a piece of at most 16 KiB of a
 * longer one (moby daemon/logger/copier.go). Each stream has lines of its own; one that is not finished is kept until it
 * is, or until its program ends.
 */
import { LOG_STDERR, LOG_STDOUT, type LogStream } from "./record.ts";

export const MAX_MESSAGE_BYTES = 16 << 10;
const NEWLINE = 10;

/** The place of a piece in a line that is too long for one message. */
export interface PartialPlace {
  /** The same for all pieces of a line. */
  readonly id: string;
  /** From 1. */
  readonly ordinal: number;
  readonly isLast: boolean;
}

export interface LogMessage {
  readonly stream: LogStream;
  /** Valid until the next call. */
  readonly bytes: Uint8Array;
  /** Of the line's first piece. */
  readonly timeNs: bigint;
  readonly partial?: PartialPlace;
}

export type TakeMessage = (message: LogMessage) => void;

interface Unfinished {
  readonly stream: LogStream;
  readonly kept: Uint8Array;
  size: number;
  id: string;
  /** Pieces of this line that went out. */
  pieces: number;
  timeNs: bigint;
}

const begin = (stream: LogStream): Unfinished => ({
  stream,
  kept: new Uint8Array(MAX_MESSAGE_BYTES),
  size: 0,
  id: "",
  pieces: 0,
  timeNs: 0n,
});

export class LineSplitter {
  readonly #streams = { [LOG_STDOUT]: begin(LOG_STDOUT), [LOG_STDERR]: begin(LOG_STDERR) };

  /** True in the middle of a line. */
  isInside(stream: LogStream): boolean {
    return this.#streams[stream].size > 0 || this.#streams[stream].pieces > 0;
  }

  /** Gives out the messages that are complete with these bytes. */
  push(stream: LogStream, bytes: Uint8Array, timeNs: bigint, take: TakeMessage): void {
    const line = this.#streams[stream];
    let at = 0;
    while (at < bytes.length) {
      const room = MAX_MESSAGE_BYTES - line.size;
      const newline = bytes.subarray(at, at + room).indexOf(NEWLINE);
      if (line.size === 0 && line.pieces === 0) line.timeNs = timeNs;
      if (newline >= 0) {
        give(line, bytes.subarray(at, at + newline), true, take);
        at += newline + 1;
        continue;
      }
      const piece = bytes.subarray(at, at + room);
      at += piece.length;
      if (piece.length < room) {
        line.kept.set(piece, line.size);
        line.size += piece.length;
      } else give(line, piece, false, take);
    }
  }

  /** Gives out what is kept of lines that will not be finished. */
  flush(take: TakeMessage): void {
    for (const line of Object.values(this.#streams)) {
      if (line.size > 0) give(line, new Uint8Array(0), false, take);
      line.pieces = 0;
    }
  }
}

function give(line: Unfinished, piece: Uint8Array, isEnd: boolean, take: TakeMessage): void {
  const { stream, timeNs } = line;
  let bytes = piece;
  if (line.size > 0) {
    line.kept.set(piece, line.size);
    bytes = line.kept.subarray(0, line.size + piece.length);
    line.size = 0;
  }
  if (isEnd && line.pieces === 0) {
    take({ stream, bytes, timeNs });
    return;
  }
  if (line.pieces === 0) line.id = crypto.randomUUID().replaceAll("-", "");
  line.pieces++;
  take({ stream, bytes, timeNs, partial: { id: line.id, ordinal: line.pieces, isLast: isEnd } });
  if (isEnd) line.pieces = 0;
}
