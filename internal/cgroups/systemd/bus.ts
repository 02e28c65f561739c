/**
 * A conversation with systemd over its own socket, without a message bus in between: nothing but systemd need run. It
 * waits where it stands: whoever asks has nothing else to do (a start, an update).
 */
import { CtrError, ECONNREFUSED, ENOENT, isErrno, ProtocolError } from "../../errors/error.ts";
import { type Fd, POLLIN, poll, writeAll } from "../../sys/fd.ts";
import { AF_UNIX, connect, recv, SOCK_STREAM, socket, unixAddress } from "../../sys/socket.ts";
import { type Message, messageLength, methodCall, parseMessage, type Writer } from "./message.ts";

/** systemd's own, for root (sd_bus_open_system_machine(3) calls it the private one). */
export const PRIVATE_SOCKET = "/run/systemd/private";
const MANAGER = { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" } as const;
const [REPLY, ERROR, SIGNAL] = [2, 3, 4];
const LIMIT_MS = 20_000;

/** What systemd refused: its error's name (`org.freedesktop.systemd1.UnitExists`) and words. */
export class RefusedBySystemd extends CtrError {
  readonly errorName: string;

  constructor(errorName: string, words: string) {
    super("conflict", `systemd: ${words}`);
    this.errorName = errorName;
  }
}

/** An open conversation. */
export class SystemdBus implements Disposable {
  readonly #socket: Fd;
  readonly #deadline = Bun.nanoseconds() + LIMIT_MS * 1e6;
  readonly #signals: Message[] = [];
  #received = new Uint8Array(0);
  #serial = 0;

  /** Throws `unavailable` where systemd does not listen. */
  static open(path = PRIVATE_SOCKET): SystemdBus {
    using opened = new DisposableStack();
    const fd = opened.use(socket(AF_UNIX, SOCK_STREAM));
    try {
      connect(fd.number, unixAddress(path), path);
    } catch (error) {
      if (!isErrno(error, ENOENT, ECONNREFUSED)) throw error;
      throw new CtrError("unavailable", `systemd does not listen on ${path}: is it the machine's init?`, {
        cause: error,
      });
    }
    const bus = new SystemdBus(fd);
    bus.#authenticate();
    opened.move();
    return bus;
  }

  private constructor(socket: Fd) {
    this.#socket = socket;
  }

  /** Calls a method of the manager and gives its reply. Throws RefusedBySystemd. */
  call(member: string, signature: string, write: (body: Writer) => void): Message {
    const serial = ++this.#serial;
    writeAll(this.#socket.number, methodCall(serial, { ...MANAGER, member }, signature, write));
    for (;;) {
      const message = this.#receive();
      if (message.type === SIGNAL) this.#signals.push(message);
      if (message.replySerial !== serial) continue;
      if (message.type === REPLY) return message;
      if (message.type === ERROR)
        throw new RefusedBySystemd(message.errorName, String(message.body[0] ?? message.errorName));
    }
  }

  /** Waits for the end of a job; its result, `done` if all is well. On this socket systemd tells every job's end. */
  jobResult(job: string): string {
    for (;;) {
      const message = this.#signals.shift() ?? this.#receive();
      const [, path, , result] = message.body;
      if (message.type === SIGNAL && message.member === "JobRemoved" && path === job) return String(result);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  /** D-Bus Specification, "Authentication Protocol": who we are the kernel tells (EXTERNAL). */
  #authenticate(): void {
    const uid = new TextEncoder().encode(String(process.geteuid?.() ?? 0)).toHex();
    writeAll(this.#socket.number, new TextEncoder().encode(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`));
    for (;;) {
      const end = this.#received.indexOf(0x0a);
      if (end >= 0) {
        const answer = new TextDecoder().decode(this.#received.subarray(0, end)).trim();
        if (!answer.startsWith("OK ")) throw new CtrError("denied", `systemd does not let us in: ${answer}`);
        this.#received = this.#received.slice(end + 1);
        return;
      }
      if (this.#received.length > 1024) throw new ProtocolError("systemd: an answer that is none");
      this.#fill();
    }
  }

  #receive(): Message {
    for (;;) {
      const length = messageLength(this.#received);
      if (length !== undefined && this.#received.length >= length) {
        const message = parseMessage(this.#received.subarray(0, length));
        this.#received = this.#received.slice(length);
        return message;
      }
      this.#fill();
    }
  }

  #fill(): void {
    const leftMs = Math.ceil((this.#deadline - Bun.nanoseconds()) / 1e6);
    if (leftMs <= 0 || poll(this.#socket.number, POLLIN, leftMs) === 0) {
      throw new CtrError("unavailable", `systemd did not answer within ${LIMIT_MS / 1000} s`);
    }
    const buffer = new Uint8Array(64 << 10);
    const size = recv(this.#socket.number, buffer);
    if (size === 0) throw new CtrError("unavailable", "systemd ended the conversation");
    const joined = new Uint8Array(this.#received.length + size);
    joined.set(this.#received);
    joined.set(buffer.subarray(0, size), this.#received.length);
    this.#received = joined;
  }
}
