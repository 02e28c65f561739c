/** The streams between a program and its supervisor: three pipes, or one terminal. */

import { streamPipe } from "../../internal/runtime/stream-pipe.ts";
import type { StandardFds } from "../../internal/runtime/waiting-init.ts";
import { dup, type Fd, O_RDONLY, open } from "../../internal/sys/fd.ts";
import { Input } from "./input.ts";
import { pump, type StreamName } from "./output.ts";

/** Our ends of a program's streams. */
export class ProgramStreams {
  readonly input: Input | undefined;
  /** The terminal's master, as long as there is one. */
  readonly terminal: Fd | undefined;
  readonly #outputs: readonly { readonly stream: StreamName; readonly fd: Fd }[];
  #handingOn = 0;

  constructor(outputs: readonly { readonly stream: StreamName; readonly fd: Fd }[], input?: Input, terminal?: Fd) {
    this.#outputs = outputs;
    this.input = input;
    this.terminal = terminal;
  }

  /** Reads all output to its end; to be called once. */
  async pump(sink: (stream: StreamName, data: Uint8Array) => Promise<void> | void): Promise<void> {
    const handOn = async (waiting: Promise<void>): Promise<void> => {
      this.#handingOn++;
      await waiting.finally(() => this.#handingOn--);
    };
    const give = (stream: StreamName, data: Uint8Array) => {
      const waiting = sink(stream, data);
      return waiting === undefined ? undefined : handOn(waiting);
    };
    await Promise.all(this.#outputs.map(({ stream, fd }) => pump(fd.take(), (data) => give(stream, data))));
  }

  /** True while output that was read waits for those who take it. */
  get isHandingOn(): boolean {
    return this.#handingOn > 0;
  }

  /** For a program that never came to be: closes everything. */
  async close(): Promise<void> {
    for (const { fd } of this.#outputs) fd.close();
    await this.end();
  }

  /** After the program has ended. */
  async end(): Promise<void> {
    await this.input?.end();
    this.terminal?.close();
  }
}

/** The program's ends; disposed once it has them. */
export interface ProgramEnds extends Disposable {
  readonly fds: StandardFds;
}

/** Pipes for a program without a terminal; an input that nobody may write is /dev/null. */
export function makePipes(hasInput: boolean): { readonly streams: ProgramStreams; readonly ends: ProgramEnds } {
  using made = new DisposableStack();
  const stdout = made.use(streamPipe());
  const stderr = made.use(streamPipe());
  const stdin = hasInput ? made.use(streamPipe()) : undefined;
  const nothing = stdin === undefined ? made.use(open("/dev/null", O_RDONLY)) : stdin.read;
  const streams = new ProgramStreams(
    [
      { stream: "stdout", fd: stdout.read },
      { stream: "stderr", fd: stderr.read },
    ],
    stdin === undefined ? undefined : new Input(stdin.write),
  );
  made.move();
  return { streams, ends: endsOf([nothing, stdout.write, stderr.write]) };
}

/** A program's terminal: one output, which is also its input. */
export function terminalStreams(master: Fd): ProgramStreams {
  return new ProgramStreams([{ stream: "stdout", fd: dup(master.number) }], new Input(dup(master.number)), master);
}

/** The same descriptor three times, or three different ones; closed together. */
export function endsOf(fds: readonly [Fd, Fd, Fd]): ProgramEnds {
  return {
    fds: [fds[0].number, fds[1].number, fds[2].number],
    [Symbol.dispose]: () => {
      for (const fd of new Set(fds)) fd.close();
    },
  };
}
