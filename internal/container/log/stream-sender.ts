/** Messages one after the other on a connection: a Unix stream socket, TCP, or TLS. */
import { CtrError } from "../../errors/error.ts";
import type { Sender } from "./remote-sink.ts";

/** Where to connect, as `Bun.connect` has it. */
export type StreamAddress =
  | { readonly unix: string }
  | { readonly hostname: string; readonly port: number; readonly tls?: Bun.TLSOptions };

const CONNECT_LIMIT_MS = 5000;
/** After a connection that could not be made, messages are lost for so long before the next is tried. */
const RETRY_MS = 1000;

export class StreamSender implements Sender {
  readonly #address: StreamAddress;
  #socket: Bun.Socket<undefined> | undefined;
  #retryAt = 0;
  #isConnecting = false;
  #onDrain: (() => void) | undefined;

  private constructor(address: StreamAddress) {
    this.#address = address;
  }

  /** Connects. Throws when nobody is there. */
  static async open(address: StreamAddress): Promise<StreamSender> {
    const sender = new StreamSender(address);
    await sender.#connect();
    return sender;
  }

  get isBusy(): boolean {
    return this.#isConnecting;
  }

  async #connect(): Promise<Bun.Socket<undefined>> {
    this.#isConnecting = true;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error("i/o timeout")), CONNECT_LIMIT_MS);
    try {
      const { promise: trusted, resolve: trust, reject: distrust } = Promise.withResolvers<void>();
      trusted.catch(() => {}); // Looked at below, if the connection comes about.
      const gone = () => {
        this.#lose();
        distrust(new Error("the connection was closed"));
      };
      const handlers = {
        data: () => {},
        drain: () => this.#onDrain?.(),
        close: gone,
        error: gone,
        end: gone,
        handshake: (_socket: Bun.Socket<undefined>, _isDone: boolean, problem: Error | null) =>
          problem === null || !this.#checksCertificate ? trust() : distrust(problem),
      };
      // Both forms of the address are Bun's own; its types want to know which.
      const connecting: Promise<Bun.Socket<undefined>> =
        "unix" in this.#address
          ? Bun.connect({ unix: this.#address.unix, socket: handlers })
          : Bun.connect({ ...this.#address, socket: handlers });
      const socket = await Promise.race([connecting, late]);
      try {
        if (this.#usesTls) await Promise.race([trusted, late]);
      } catch (error) {
        socket.end();
        throw error;
      }
      this.#socket = socket;
      return socket;
    } catch (error) {
      this.#retryAt = performance.now() + RETRY_MS;
      throw new CtrError("unavailable", `${this.#shown}: ${reasonOf(error)}`, { cause: error });
    } finally {
      clearTimeout(timer);
      this.#isConnecting = false;
    }
  }

  get #usesTls(): boolean {
    return "tls" in this.#address && this.#address.tls !== undefined;
  }

  get #checksCertificate(): boolean {
    return "tls" in this.#address && this.#address.tls?.rejectUnauthorized !== false;
  }

  /** As Go names what it was doing. */
  get #shown(): string {
    return "unix" in this.#address
      ? `dial unix ${this.#address.unix}`
      : `dial tcp ${this.#address.hostname}:${this.#address.port}`;
  }

  #lose(): void {
    this.#socket = undefined;
    this.#onDrain?.();
  }

  send(bytes: Uint8Array): boolean | Promise<boolean> {
    if (this.#socket !== undefined) {
      const written = this.#socket.write(bytes);
      return written === bytes.length ? true : this.#sendRest(bytes, Math.max(0, written));
    }
    return performance.now() < this.#retryAt ? false : this.#sendAnew(bytes);
  }

  async #sendAnew(bytes: Uint8Array): Promise<boolean> {
    try {
      await this.#connect();
    } catch {
      // Nobody there: the message is lost, and counted.
      return false;
    }
    return this.send(bytes);
  }

  /** The kernel took only a part: the rest goes when it takes more. */
  async #sendRest(bytes: Uint8Array, sent: number): Promise<boolean> {
    for (let at = sent; at < bytes.length; ) {
      await new Promise<void>((resolve) => {
        this.#onDrain = resolve;
      });
      this.#onDrain = undefined;
      if (this.#socket === undefined) return false;
      at += Math.max(0, this.#socket.write(bytes.subarray(at)));
    }
    return true;
  }

  close(): void {
    this.#socket?.end();
    this.#socket = undefined;
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ECONNREFUSED") return "connect: connection refused";
  if (code === "ENOENT") return "connect: no such file or directory";
  return error instanceof Error ? error.message : String(error);
}
