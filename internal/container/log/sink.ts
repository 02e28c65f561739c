/** Where a container's output goes: the writing end of a log driver. */
import type { LogStream } from "./record.ts";

export interface LogSink {
  /**
   * Takes bytes as they came; they are the caller's again when this returns. A promise is back-pressure: no more is to
   * be written before it resolves. Throws a SyscallError for what a file did not take.
   */
  write(stream: LogStream, bytes: Uint8Array, timeNs: bigint): Promise<void> | void;
  /** A program's streams have ended: the unfinished lines that were kept go out. Resolves when all is where it belongs. */
  endStreams(timeNs: bigint): Promise<void> | undefined;
  /** The container is at rest: followers end. */
  endRun(timeNs: bigint): void;
  /** True while there is work to do that no event announces. */
  readonly isBusy: boolean;
  close(): void;
}
