/**
 * The sockets of one container, 127.0.0.11 port 53 by UDP and TCP, in its own network namespace and served by netd's
 * event loop. They listen on ports of the kernel's choice and rules lead port 53 there, so that a program in the container
 * may have port 53 for itself; where the kernel has no nf_tables they take port 53.
 */
import { EAGAIN, ECONNREFUSED, isErrno, withContext } from "../../errors/error.ts";
import { configureInterfaces } from "../../netlink/configure.ts";
import { isRedirected, redirectLocalPort, setRedirect } from "../../netlink/local-redirect.ts";
import { viewOf } from "../../netlink/message.ts";
import type { Netlink } from "../../netlink/socket.ts";
import type { Fd } from "../../sys/fd.ts";
import { descriptorOf, getsockname, MSG_DONTWAIT, recvfrom } from "../../sys/socket.ts";
import type { Log } from "../log.ts";
import type { Deadlines } from "./deadlines.ts";
import { inside } from "./inside.ts";
import { PLAIN_UDP_BYTES } from "./message.ts";

const ADDRESS = "127.0.0.11";
const ADDRESS_BYTES = new Uint8Array([127, 0, 0, 11]);
const PORT = 53;
/** In the container's namespace. */
export const TABLE = "ctr-dns";
/** The longest query that is read; one with every option anybody sends stays below 1,000 bytes. */
const MAX_QUERY_BYTES = 4096;
/** Of one container at a time. */
const MAX_CONNECTIONS = 128;
const IDLE_MS = 10_000;
/** More than a socket's buffer holds (socket(7), rmem_default). */
const MAX_LEFT = 1024;
/** Longer than any packet takes through loopback. */
const LATE_MS = 50;
/** Answers that a client has asked for but does not read. */
const MAX_UNREAD_BYTES = 1 << 18;

/** Answers one packet: at once, later, or not at all. Bytes given at once may be written over by the next call. */
export type Answerer = (packet: Buffer, overTcp: boolean) => Buffer | Promise<Buffer | undefined> | undefined;

interface Connection {
  received: Buffer;
  unsent: Buffer[];
  unsentBytes: number;
  stopWaiting: () => void;
}

/** Where a container's sockets are kept beyond netd's end; its next life gets them back. */
export interface Keeper {
  /** From netd's lives before, to be taken once: they are the caller's. */
  take(protocol: "udp" | "tcp"): readonly KeptSocket[];
  /** Gives the name to forget it by. */
  keep(protocol: "udp" | "tcp", fd: number): string;
  forget(name: string): void;
}

export interface KeptSocket {
  readonly name: string;
  readonly fd: Fd;
}

export interface Listening {
  readonly deadlines: Deadlines;
  readonly log: Log;
  readonly keeper: Keeper;
}

/** The open sockets of one container. */
export interface Listener extends Disposable {
  /** False if somebody changed the rules that lead to them. */
  isLedTo(): boolean;
  /** Writes those rules again. */
  leadAgain(): void;
}

/** Opens the sockets; loopback is up afterwards. Throws when the namespace does not let us. */
export async function listenInside(namespace: Fd, answerer: Answerer, choices: Listening): Promise<Listener> {
  const { deadlines, log, keeper } = choices;
  using undo = new DisposableStack();
  // Killed on the way, each life may have left one of its own. Of TCP there is only ever one: it is used again.
  const [oldTcp, ...strays] = keeper.take("tcp");
  const oldUdp = [...keeper.take("udp"), ...strays];
  using left = new DisposableStack();
  for (const { name, fd } of oldUdp) {
    left.use(fd);
    left.defer(() => keeper.forget(name));
  }
  if (oldTcp !== undefined) undo.defer(() => keeper.forget(oldTcp.name));
  let tcp: TcpListener | undefined;
  const pending = inside(namespace, () => {
    // An address can only be bound to while its link is up, and init may not have come to it yet.
    configureInterfaces([]);
    // The old one has its port still, and callers that nobody has taken yet.
    tcp = undo.adopt(listenTcp(oldTcp?.fd ?? 0, answerer, deadlines), (listener) => listener.stop(true));
    return listenUdp(0, answerer);
  });
  const udp = undo.adopt(await pending, (socket) => socket.close());
  if (tcp === undefined) throw new TypeError("unreachable: the namespace was entered");
  // Before anything leads to them: at no moment is a question in a socket that is not kept.
  if (oldTcp === undefined) undo.adopt(keeper.keep("tcp", descriptorOf(tcp)), keeper.forget);
  undo.adopt(keeper.keep("udp", descriptorOf(udp)), keeper.forget);
  const ports = { tcpPort: portOf(descriptorOf(tcp)), udpPort: udp.port };
  const redirect = { table: TABLE, address: ADDRESS_BYTES, port: PORT, ...ports };
  let rules: Netlink;
  try {
    rules = undo.use(inside(namespace, () => redirectLocalPort(redirect)));
  } catch (error) {
    log(withContext("container DNS takes port 53 itself", error).message);
    undo.dispose();
    return await listenPlainly(namespace, answerer, deadlines);
  }
  const answerAll = () => {
    for (const { fd } of oldUdp.filter((kept) => !strays.includes(kept))) answerLeft(fd, udp, answerer);
  };
  if (oldUdp.length > 0) {
    answerAll();
    // What was on its way under the old rules comes in a moment more.
    const late = undo.use(left.move());
    undo.defer(
      deadlines.add(LATE_MS, () => {
        answerAll();
        late.dispose();
      }),
    );
  }
  const owned = undo.move();
  return {
    isLedTo: () => isRedirected(rules, redirect),
    leadAgain: () => setRedirect(rules, redirect),
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function portOf(socket: number): number {
  return portIn(getsockname(socket));
}

/** Of a struct sockaddr_in: family, port, address. */
function portIn(address: Uint8Array): number {
  return viewOf(address).getUint16(2);
}

/** Answers the questions that came while no netd was there; a container that goes on filling the socket ends nothing. */
function answerLeft(old: Fd, udp: UdpSocket, answerer: Answerer): void {
  const packet = Buffer.alloc(MAX_QUERY_BYTES + 1);
  for (let count = 0; count < MAX_LEFT; count++) {
    try {
      const { size, from } = recvfrom(old.number, packet, MSG_DONTWAIT);
      const peer = { port: portIn(from), address: from.subarray(4, 8).join(".") };
      answerDatagram(udp, answerer, packet.subarray(0, size), peer);
    } catch (error) {
      if (isErrno(error, EAGAIN)) return;
      // The error of an answer that nobody was there for (ip(7)): told once, and the next is read.
      if (!isErrno(error, ECONNREFUSED)) throw error;
    }
  }
}

async function listenPlainly(namespace: Fd, answerer: Answerer, deadlines: Deadlines): Promise<Listener> {
  using undo = new DisposableStack();
  const pending = inside(namespace, () => {
    undo.adopt(listenTcp(PORT, answerer, deadlines), (listener) => listener.stop(true));
    return listenUdp(PORT, answerer);
  });
  undo.adopt(await pending, (socket) => socket.close());
  const owned = undo.move();
  return { isLedTo: () => true, leadAgain: () => {}, [Symbol.dispose]: () => owned.dispose() };
}

type UdpSocket = Bun.udp.Socket<"buffer">;
type TcpListener = Bun.TCPSocketListener<Connection | undefined>;

function listenUdp(port: number, answerer: Answerer): Promise<UdpSocket> {
  return Bun.udpSocket({
    hostname: ADDRESS,
    port,
    socket: {
      data: (socket, packet, peerPort, address) =>
        answerDatagram(socket, answerer, packet, { port: peerPort, address }),
      error: () => {}, // of one datagram, to a client that has gone
    },
  });
}

interface Peer {
  readonly port: number;
  readonly address: string;
}

function answerDatagram(socket: UdpSocket, answerer: Answerer, packet: Buffer, { port, address }: Peer): void {
  if (packet.length > MAX_QUERY_BYTES) return;
  const reply = answerer(packet, false);
  if (reply === undefined) return;
  // A datagram that the kernel does not take is lost, as on any network: the client asks again.
  if (!(reply instanceof Promise)) socket.send(reply, port, address);
  else
    void reply.then((later) => {
      if (later !== undefined && !socket.closed) socket.send(later, port, address);
    });
}

/** On a port of 127.0.0.11, or on a socket that listens already, which is the listener's from here on. */
function listenTcp(where: number | Fd, answerer: Answerer, deadlines: Deadlines): TcpListener {
  let connections = 0;
  const wait = (socket: Bun.Socket<Connection | undefined>, connection: Connection): void => {
    connection.stopWaiting();
    connection.stopWaiting = deadlines.add(IDLE_MS, () => socket.terminate());
  };
  const send = (socket: Bun.Socket<Connection | undefined>, connection: Connection, reply: Buffer): void => {
    const frame = Buffer.alloc(2 + reply.length);
    frame.writeUInt16BE(reply.length, 0);
    reply.copy(frame, 2);
    connection.unsent.push(frame);
    connection.unsentBytes += frame.length;
    flush(socket, connection);
    if (connection.unsentBytes > MAX_UNREAD_BYTES) socket.terminate();
  };
  const flush = (socket: Bun.Socket<Connection | undefined>, connection: Connection): void => {
    for (let frame = connection.unsent[0]; frame !== undefined; frame = connection.unsent[0]) {
      const written = Math.max(0, socket.write(frame));
      connection.unsentBytes -= written;
      if (written < frame.length) {
        connection.unsent[0] = frame.subarray(written);
        return;
      }
      connection.unsent.shift();
    }
  };
  // Bun takes a descriptor here; its types (1.4.5) do not say so.
  const address = typeof where === "number" ? { hostname: ADDRESS, port: where } : { fd: where.take() };
  return Bun.listen<Connection | undefined>({
    ...(address as { readonly hostname: string; readonly port: number }),
    data: undefined,
    socket: {
      open: (socket) => {
        connections += 1;
        if (connections > MAX_CONNECTIONS) {
          socket.terminate();
          return;
        }
        const connection = { received: Buffer.alloc(0), unsent: [], unsentBytes: 0, stopWaiting: () => {} };
        socket.data = connection;
        wait(socket, connection);
      },
      data: (socket, chunk) => {
        const connection = socket.data;
        if (connection === undefined) return;
        connection.received = connection.received.length === 0 ? chunk : Buffer.concat([connection.received, chunk]);
        while (connection.received.length >= 2) {
          const length = connection.received.readUInt16BE(0);
          if (length > MAX_QUERY_BYTES) {
            socket.terminate();
            return;
          }
          if (connection.received.length < 2 + length) break;
          const packet = Buffer.from(connection.received.subarray(2, 2 + length));
          connection.received = connection.received.subarray(2 + length);
          wait(socket, connection);
          const reply = answerer(packet, true);
          if (reply === undefined) {
            socket.terminate();
            return;
          }
          if (!(reply instanceof Promise)) send(socket, connection, reply);
          else
            void reply.then((later) => {
              if (later !== undefined && socket.readyState > 0) send(socket, connection, later);
            });
        }
        // The chunk's memory is the event loop's.
        connection.received = Buffer.from(connection.received);
      },
      drain: (socket) => {
        if (socket.data !== undefined) flush(socket, socket.data);
      },
      close: (socket) => {
        connections -= 1;
        socket.data?.stopWaiting();
      },
      error: () => {}, // close follows
    },
  });
}

/** How large an answer may be. */
export function limitOf(udpBytes: number, overTcp: boolean): number {
  return overTcp ? 0xffff : Math.max(PLAIN_UDP_BYTES, udpBytes);
}
