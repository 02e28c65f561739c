/** Standard input of a program: a pipe (or terminal) that clients fill. */
import { EAGAIN, EIO, EPIPE, isErrno } from "../../internal/errors/error.ts";
import { F_GETFL, F_SETFL, type Fd, fcntl, O_NONBLOCK, write } from "../../internal/sys/fd.ts";

/**
 * The writing end. Writes never block the supervisor: what does not fit waits for the pipe to drain, which Bun's sink
 * tells.
 */
export class Input {
  readonly #fd: Fd;
  #sink: Bun.FileSink | undefined;
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(fd: Fd) {
    this.#fd = fd;
    fcntl(fd.number, F_SETFL, fcntl(fd.number, F_GETFL) | O_NONBLOCK);
  }

  /** Writes in order; resolves when the kernel has taken all of it, or nobody reads any more. */
  write(data: Uint8Array): Promise<void> {
    this.#last = this.#last.then(() => this.#write(data));
    return this.#last;
  }

  async #write(data: Uint8Array): Promise<void> {
    if (this.#isClosed) return;
    try {
      let rest = data;
      if (this.#sink === undefined) rest = this.#writeNow(data);
      if (rest.length === 0) return;
      this.#sink ??= Bun.file(this.#fd.number).writer();
      this.#sink.write(rest);
      await this.#sink.flush();
    } catch (error) {
      // The program closed its input: what else comes is dropped, as a shell's pipe does.
      if (!isNobodyReads(error)) throw error;
      await this.#close();
    }
  }

  /** As much as fits at once: nearly always all, and without a sink's cost. */
  #writeNow(data: Uint8Array): Uint8Array {
    let rest = data;
    try {
      while (rest.length > 0) rest = rest.subarray(write(this.#fd.number, rest));
    } catch (error) {
      if (!isErrno(error, EAGAIN)) throw error;
    }
    return rest;
  }

  /** After everything written so far: end of file for the program. */
  end(): Promise<void> {
    this.#last = this.#last.then(() => this.#close());
    return this.#last;
  }

  async #close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.#sink?.end();
    } catch (error) {
      if (!isNobodyReads(error)) throw error;
    } finally {
      // The sink leaves a descriptor it was given open.
      this.#fd.close();
    }
  }
}

/** EPIPE of a pipe, EIO of a terminal whose last user is gone (pty(7)). */
function isNobodyReads(error: unknown): boolean {
  if (isErrno(error, EPIPE, EIO)) return true;
  return error instanceof Error && "code" in error && (error.code === "EPIPE" || error.code === "EIO");
}
