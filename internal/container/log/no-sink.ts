/** The driver `none`: output goes to those who are attached, and nowhere else. */
import type { LogSink } from "./sink.ts";

export class NoSink implements LogSink {
  readonly isBusy = false;
  write(): void {}
  endStreams(): undefined {}
  endRun(): void {}
  close(): void {}
}
