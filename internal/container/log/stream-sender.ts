/** Messages one after the other on a connection: a Unix stream socket, TCP, or TLS. */
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
    const timer = setTimeout(() => reject(new Error("connect: connection timed out")), CONNECT_LIMIT_MS);
    try {
      const gone = () => this.#lose();
      const handlers = { data: () => {}, drain: () => this.#onDrain?.(), close: gone, error: gone, end: gone };
      // Both forms of the address are Bun's own; its types want to know which.
      const connecting: Promise<Bun.Socket<undefined>> =
        "unix" in this.#address
          ? Bun.connect({ unix: this.#address.unix, socket: handlers })
          : Bun.connect({ ...this.#address, socket: handlers });
      const socket = await Promise.race([connecting, late]);
      this.#socket = socket;
      return socket;
    } catch (error) {
      this.#retryAt = performance.now() + RETRY_MS;
      throw error;
    } finally {
      clearTimeout(timer);
      this.#isConnecting = false;
    }
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
