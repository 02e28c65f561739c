/**
 * The sockets of one container, 127.0.0.11 port 53 by UDP and TCP, in its own network namespace and served by netd's
 * event loop. They listen on ports of the kernel's choice and rules lead port 53 there, so that a program in the container
 * may have port 53 for itself; where the kernel has no nf_tables they take port 53.
 */
import { withContext } from "../../errors/error.ts";
import { configureInterfaces } from "../../netlink/configure.ts";
import { redirectLocalPort } from "../../netlink/local-redirect.ts";
import type { Fd } from "../../sys/fd.ts";
import type { Deadlines } from "./deadlines.ts";
import { inside } from "./inside.ts";
import { PLAIN_UDP_BYTES } from "./message.ts";

const ADDRESS = "127.0.0.11";
const ADDRESS_BYTES = new Uint8Array([127, 0, 0, 11]);
const PORT = 53;
const TABLE = "ctr-dns";
/** The longest query that is read; one with every option anybody sends stays below 1,000 bytes. */
const MAX_QUERY_BYTES = 4096;
/** Of one container at a time. */
const MAX_CONNECTIONS = 128;
const IDLE_MS = 10_000;
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

/** Opens the sockets; loopback is up afterwards. Throws when the namespace does not let us. */
export async function listenInside(
  namespace: Fd,
  answerer: Answerer,
  { deadlines, log }: { readonly deadlines: Deadlines; readonly log: (line: string) => void },
): Promise<Disposable> {
  using undo = new DisposableStack();
  const open = async (port: number): Promise<{ readonly tcpPort: number; readonly udpPort: number }> => {
    let tcp: Bun.TCPSocketListener<Connection | undefined> | undefined;
    const pending = inside(namespace, () => {
      // An address can only be bound to while its link is up, and init may not have come to it yet.
      configureInterfaces([]);
      tcp = undo.adopt(listenTcp(port, answerer, deadlines), (listener) => listener.stop(true));
      return listenUdp(port, answerer);
    });
    const udp = undo.adopt(await pending, (socket) => socket.close());
    return { tcpPort: tcp?.port ?? 0, udpPort: udp.port };
  };
  const ports = await open(0);
  try {
    const rules = inside(namespace, () =>
      redirectLocalPort({ table: TABLE, address: ADDRESS_BYTES, port: PORT, ...ports }),
    );
    undo.use(rules);
  } catch (error) {
    log(withContext("container DNS takes port 53 itself", error).message);
    undo.dispose();
    return await listenPlainly(namespace, answerer, deadlines);
  }
  return undo.move();
}

async function listenPlainly(namespace: Fd, answerer: Answerer, deadlines: Deadlines): Promise<Disposable> {
  using undo = new DisposableStack();
  const pending = inside(namespace, () => {
    undo.adopt(listenTcp(PORT, answerer, deadlines), (listener) => listener.stop(true));
    return listenUdp(PORT, answerer);
  });
  undo.adopt(await pending, (socket) => socket.close());
  return undo.move();
}

function listenUdp(port: number, answerer: Answerer): Promise<Bun.udp.Socket<"buffer">> {
  return Bun.udpSocket({
    hostname: ADDRESS,
    port,
    socket: {
      data: (socket, packet, peerPort, peer) => {
        if (packet.length > MAX_QUERY_BYTES) return;
        const reply = answerer(packet, false);
        if (reply === undefined) return;
        // A datagram that the kernel does not take is lost, as on any network: the client asks again.
        if (!(reply instanceof Promise)) socket.send(reply, peerPort, peer);
        else
          void reply.then((later) => {
            if (later !== undefined && !socket.closed) socket.send(later, peerPort, peer);
          });
      },
      error: () => {}, // of one datagram, to a client that has gone
    },
  });
}

function listenTcp(
  port: number,
  answerer: Answerer,
  deadlines: Deadlines,
): Bun.TCPSocketListener<Connection | undefined> {
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
  return Bun.listen<Connection | undefined>({
    hostname: ADDRESS,
    port,
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
