/**
 * The container's output: read from its pipe (or terminal), written to the log first, then to whoever is attached.
 *
 * Policy for a client that does not read: the container's output waits while a client has more than `MAX_CLIENT_BYTES`
 * unsent, so that nothing is lost to a slow one; a client that takes nothing at all for `STALL_LIMIT_MS` is cut off, so
 * that none can stop the container for good.
 */
import { LOG_STDERR, LOG_STDOUT } from "../../internal/container/log/record.ts";
import type { LogSink } from "../../internal/container/log/sink.ts";
import { EIO, isErrno, SyscallError } from "../../internal/errors/error.ts";
import type { Connection } from "../../internal/ipc/connection.ts";
import type { FromSupervisor, Streams, ToSupervisor } from "../../internal/ipc/supervisor.ts";
import { close } from "../../internal/sys/fd.ts";
import { startTimer } from "./timer.ts";

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
    const { promise: timeout, resolve } = Promise.withResolvers<"stalled">();
    using _ = startTimer(STALL_LIMIT_MS, () => resolve("stalled"));
    const outcome = await Promise.race([client.drained(), timeout]);
    if (outcome !== "stalled") return true;
    if (client.queuedBytes >= before) return false;
  }
}

/** Waits until the client has been sent its last word; not for one that takes nothing at all for the whole limit. */
export async function delivered(client: Client): Promise<void> {
  for (;;) {
    const before = client.queuedBytes;
    const { promise: timeout, resolve } = Promise.withResolvers<"stalled">();
    using _ = startTimer(STALL_LIMIT_MS, () => resolve("stalled"));
    const outcome = await Promise.race([client.delivered, timeout]);
    if (outcome !== "stalled" || client.queuedBytes >= before) return;
  }
}

/**
 * Output goes to the log before anybody hears of it; a promise is a log that wants the container to wait. A full disk must
 * not stop the container: what did not fit is missing.
 */
export function writeLog(log: LogSink, stream: StreamName, data: Uint8Array): Promise<void> | void {
  try {
    return log.write(stream === "stdout" ? LOG_STDOUT : LOG_STDERR, data, nowNs());
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
}

/** A program's streams have ended: what the log kept of unfinished lines goes out, as far as there is room. */
export async function endStreams(log: LogSink): Promise<void> {
  try {
    await log.endStreams(nowNs());
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
}

/** Tells followers that nothing more comes; on a full disk they see the supervisor's end instead. */
export function endLog(log: LogSink | undefined): void {
  try {
    log?.endRun(nowNs());
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
}

let lastNs = 0n;

/** Wall clock in nanoseconds since 1970, never the same twice. Its milliseconds follow the clock when that is set. */
export function nowNs(): bigint {
  const ns = BigInt(Date.now()) * 1_000_000n + BigInt(Math.floor((performance.now() % 1) * 1e6));
  lastNs = ns > lastNs || lastNs - ns > 1_000_000_000n ? ns : lastNs + 1n;
  return lastNs;
}

/** Reads a stream of the container to its end, and closes it: Bun's stream leaves a descriptor it was given open. */
export async function pump(fd: number, sink: (data: Uint8Array) => void | Promise<void>): Promise<void> {
  try {
    for await (const chunk of Bun.file(fd).stream()) {
      const waiting = sink(chunk);
      if (waiting !== undefined) await waiting;
    }
  } catch (error) {
    // A terminal whose last user is gone reads as EIO (pty(7)): its end of file.
    if (!isEio(error)) throw error;
  } finally {
    close(fd);
  }
}

function isEio(error: unknown): boolean {
  if (isErrno(error, EIO)) return true;
  return error instanceof Error && "code" in error && error.code === "EIO";
}
