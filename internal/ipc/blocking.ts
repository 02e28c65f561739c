/** One end of a conversation for a process that does one thing after the other: reads and writes that wait. */
import { ECONNRESET, EPIPE, isErrno } from "../errors/error.ts";
import { type Fd, read, writeAll } from "../sys/fd.ts";
import type { Connection, Conversation } from "./connection.ts";
import { encodeFrame, FrameReader } from "./frame.ts";
import { checkHello, hello } from "./hello.ts";

export class BlockingConnection<In, Out extends object>
  implements Pick<Connection<In, Out>, "send" | "receive" | "end">
{
  readonly #fd: Fd;
  readonly #conversation: Conversation<In>;
  readonly #frames = new FrameReader();
  readonly #chunk = new Uint8Array(4096);
  #hasHeard = false;

  /** The descriptor is ours from here on. */
  constructor(fd: Fd, conversation: Conversation<In>) {
    this.#fd = fd;
    this.#conversation = conversation;
    if (conversation.hasGreeted !== true) this.#write(hello(conversation));
  }

  /** To a peer that is gone it goes nowhere: `receive` tells. */
  send(message: Out): void {
    this.#write(message);
  }

  /** Waits for the next message; undefined at the end. */
  receive(): Promise<In | undefined> {
    try {
      return Promise.resolve(this.#receive());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  end(): void {
    this.#fd.close();
  }

  #write(message: object): void {
    try {
      writeAll(this.#fd.number, encodeFrame(message));
    } catch (error) {
      if (!isErrno(error, EPIPE)) throw error;
    }
  }

  #receive(): In | undefined {
    for (;;) {
      const value = this.#frames.next();
      if (value === undefined) {
        const size = this.#read();
        if (size === 0) return undefined;
        this.#frames.push(this.#chunk.subarray(0, size));
      } else if (this.#hasHeard) {
        return this.#conversation.decode(value);
      } else {
        checkHello(value, this.#conversation);
        this.#hasHeard = true;
      }
    }
  }

  #read(): number {
    try {
      return read(this.#fd.number, this.#chunk);
    } catch (error) {
      // It ended with something of ours unread.
      if (isErrno(error, ECONNRESET)) return 0;
      throw error;
    }
  }
}
