/**
 * The container's output: read from its pipe (or terminal), written to the log first, then to whoever is attached.
 *
 * Policy for a client that does not read: the container's output waits while a client has more than `MAX_CLIENT_BYTES`
 * unsent, so that nothing is lost to a slow one; a client that takes nothing at all for `STALL_LIMIT_MS` is cut off, so
 * that none can stop the container for good.
 */
import {
  encodeLogHeader,
  LOG_HEADER_BYTES,
  LOG_STDERR,
  LOG_STDOUT,
  MAX_LOG_PAYLOAD_BYTES,
} from "../../internal/container/log/record.ts";
import { EIO, isErrno } from "../../internal/errors/error.ts";
import type { Connection } from "../../internal/ipc/connection.ts";
import type { FromSupervisor, Streams, ToSupervisor } from "../../internal/ipc/supervisor.ts";
import { writePair } from "../../internal/sys/fd.ts";

const MAX_CLIENT_BYTES = 1 << 20;
const STALL_LIMIT_MS = 30_000;

export type Client = Connection<ToSupervisor, FromSupervisor>;
export type StreamName = "stdout" | "stderr";

/** Who is attached, and to what. */
export class Audience {
  readonly #clients = new Map<Client, Streams>();

  add(client: Client, streams: Streams): void {
    this.#clients.set(client, streams);
    void client.ended.then(() => this.#clients.delete(client));
  }

  remove(client: Client): void {
    this.#clients.delete(client);
  }

  get isEmpty(): boolean {
    return this.#clients.size === 0;
  }

  /** Sends to everybody who wants the stream, and waits for those that lag behind, within the limit. */
  async tell(stream: StreamName, data: Uint8Array): Promise<void> {
    for (const [client, streams] of this.#clients) {
      if (!streams[stream]) continue;
      client.send({ type: "output", stream, data });
      if (client.queuedBytes > MAX_CLIENT_BYTES && !(await catchUp(client))) {
        this.#clients.delete(client);
        client.end();
      }
    }
  }

  /** The last words to everybody. */
  dismiss(message: FromSupervisor): void {
    for (const client of this.#clients.keys()) {
      client.send(message);
      client.end();
    }
    this.#clients.clear();
  }
}

/** False if the client took nothing for the whole limit. */
async function catchUp(client: Client): Promise<boolean> {
  for (;;) {
    const before = client.queuedBytes;
    let timer: Timer | undefined;
    const timeout = new Promise<"stalled">((resolve) => {
      timer = setTimeout(resolve, STALL_LIMIT_MS, "stalled");
    });
    const outcome = await Promise.race([client.drained(), timeout]);
    clearTimeout(timer);
    if (outcome !== "stalled") return true;
    if (client.queuedBytes >= before) return false;
  }
}

/** Where output goes before anybody hears of it. */
export class LogWriter {
  readonly #fd: number;
  readonly #header = new Uint8Array(LOG_HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);
  /** Why the log stopped taking records (a full disk), if it did: the container runs on without. */
  failure: unknown;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(stream: StreamName, data: Uint8Array): void {
    for (let at = 0; at < data.length; at += MAX_LOG_PAYLOAD_BYTES) {
      const part = data.length <= MAX_LOG_PAYLOAD_BYTES ? data : data.subarray(at, at + MAX_LOG_PAYLOAD_BYTES);
      encodeLogHeader(this.#view, 0, part.length, stream === "stdout" ? LOG_STDOUT : LOG_STDERR, nowNs());
      try {
        writePair(this.#fd, this.#header, part);
      } catch (error) {
        // A full disk must not stop the container; the reader copes with a record that was cut.
        this.failure = error;
      }
    }
  }
}

/** Wall clock in nanoseconds since 1970, as fine as the process can tell. */
export function nowNs(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));
}

/** Reads a stream of the container to its end. The descriptor is closed by the stream. */
export async function pump(fd: number, sink: (data: Uint8Array) => void | Promise<void>): Promise<void> {
  try {
    for await (const chunk of Bun.file(fd).stream()) {
      const waiting = sink(chunk);
      if (waiting !== undefined) await waiting;
    }
  } catch (error) {
    // A terminal whose last user is gone reads as EIO (pty(7)): its end of file.
    if (!isEio(error)) throw error;
  }
}

function isEio(error: unknown): boolean {
  if (isErrno(error, EIO)) return true;
  return error instanceof Error && "code" in error && error.code === "EIO";
}
