/** Messages as datagrams: to a socket in the file system (unix(7)), or by UDP. */
import { EAGAIN, EMSGSIZE, ENOBUFS, isErrno, SyscallError } from "../../errors/error.ts";
import type { Fd } from "../../sys/fd.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  connect,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  send,
  socket,
  unixAddress,
} from "../../sys/socket.ts";
import type { Sender } from "./remote-sink.ts";

/** Makes a connected, non-blocking datagram socket. */
export type MakeSocket = () => Fd;

export function unixDatagrams(path: string): MakeSocket {
  return () => connected(AF_UNIX, unixAddress(path), path);
}

/** `address` is one of IPv4 or IPv6, in text. */
export function udpDatagrams(address: string, port: number): MakeSocket {
  const family = address.includes(":") ? AF_INET6 : AF_INET;
  const bytes = family === AF_INET6 ? inet6Address(address, port) : inetAddress(address, port);
  return () => connected(family, bytes, `${address}:${port}`);
}

function connected(family: number, address: Uint8Array, shown: string): Fd {
  using made = new DisposableStack();
  const fd = made.use(socket(family, SOCK_DGRAM | SOCK_NONBLOCK));
  connect(fd.number, address, shown);
  made.move();
  return fd;
}

/** struct sockaddr_in of ip(7). */
function inetAddress(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  bytes.set(address.split(".").map(Number), 4);
  return bytes;
}

/** struct sockaddr_in6 of ipv6(7); an address with `::` is filled up. */
function inet6Address(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET6, true);
  view.setUint16(2, port);
  const [before = "", after] = address.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const head = groups(before);
  const tail = after === undefined ? [] : groups(after);
  for (const [at, group] of head.entries()) view.setUint16(8 + 2 * at, Number.parseInt(group, 16));
  for (const [at, group] of tail.entries()) view.setUint16(24 - 2 * (tail.length - at), Number.parseInt(group, 16));
  return bytes;
}

export class DatagramSender implements Sender {
  readonly isBusy = false;
  readonly #make: MakeSocket;
  /** What becomes of a message that is too long for a datagram. */
  readonly #sendLong: ((fd: number, bytes: Uint8Array) => void) | undefined;
  #fd: Fd | undefined;
  #sink: Bun.FileSink | undefined;

  /** Throws when nobody is there. */
  constructor(make: MakeSocket, sendLong?: (fd: number, bytes: Uint8Array) => void) {
    this.#make = make;
    this.#sendLong = sendLong;
    this.#fd = make();
  }

  send(bytes: Uint8Array): boolean | Promise<boolean> {
    // The second time through a new socket: its owner may have been started anew, and then has another one.
    for (const isLast of [false, true]) {
      try {
        this.#fd ??= this.#make();
        this.#sendNow(this.#fd.number, bytes);
        return true;
      } catch (error) {
        if (isErrno(error, EAGAIN)) return this.#sendLater(bytes);
        if (!(error instanceof SyscallError)) throw error;
        this.#hangUp();
        if (isLast) return false;
      }
    }
    return false;
  }

  #sendNow(fd: number, bytes: Uint8Array): void {
    try {
      send(fd, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    } catch (error) {
      if (this.#sendLong === undefined || !isErrno(error, EMSGSIZE, ENOBUFS)) throw error;
      this.#sendLong(fd, bytes);
    }
  }

  /** The other side's queue is full: Bun's sink waits for it, and sends the one message it has as one datagram. */
  async #sendLater(bytes: Uint8Array): Promise<boolean> {
    if (this.#fd === undefined) return false;
    try {
      this.#sink ??= Bun.file(this.#fd.number).writer();
      this.#sink.write(bytes);
      await this.#sink.flush();
      return true;
    } catch {
      // Whatever ended it: the message is lost, and the next one tries anew.
      this.#hangUp();
      return false;
    }
  }

  #hangUp(): void {
    this.#sink = undefined;
    this.#fd?.close();
    this.#fd = undefined;
  }

  close(): void {
    this.#hangUp();
  }
}
