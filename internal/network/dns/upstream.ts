/**
 * Asking the next server: one new socket per question, so that the kernel chooses its port at random and takes nothing
 * from anybody but the server (connect(2)); with an id that cannot be guessed. By UDP, and by TCP when the answer did not
 * fit. Questions that are asked already are not asked again: whoever asks the same waits for the same answer, which also
 * ends a server that asks us what we ask it.
 */
import type { Fd } from "../../sys/fd.ts";
import type { Deadlines } from "./deadlines.ts";
import { inside } from "./inside.ts";
import { codeOf, isAnswerTo, isTruncated, NOERROR, NXDOMAIN, type Query, withId } from "./message.ts";

/** A server, asked from the host's network namespace or from a container's. */
export interface Server {
  readonly address: string;
  readonly namespace?: Fd;
}

/** Whose question it is and who is to be asked. */
export interface Question {
  readonly packet: Buffer;
  readonly query: Query;
  readonly servers: readonly Server[];
  /** The same for all that ask the same servers. */
  readonly group: string;
  readonly overTcp: boolean;
}

/** How long a server may take, and all of them together: a client's own patience is 5 seconds (resolv.conf(5)). */
const SERVER_MS = 2000;
const TOTAL_MS = 4500;
/** Sockets at a time. */
const MAX_ASKED = 1024;
/** Who waits for one answer. */
const MAX_WAITING = 256;
const PORT = 53;

export interface Upstream {
  /** The answer as it came (valid for ever), or undefined when nobody gave one, or too much is asked already. */
  ask(question: Question): Promise<Buffer | undefined>;
}

export function createUpstream(deadlines: Deadlines, port = PORT): Upstream {
  const asked = new Map<string, { readonly answer: Promise<Buffer | undefined>; waiting: number }>();
  return {
    ask(question) {
      const key = keyOf(question);
      const same = asked.get(key);
      if (same !== undefined) {
        same.waiting += 1;
        return same.waiting > MAX_WAITING ? Promise.resolve(undefined) : same.answer;
      }
      if (asked.size >= MAX_ASKED || question.servers.length === 0) return Promise.resolve(undefined);
      const answer = askInTurn(question, deadlines, port).finally(() => asked.delete(key));
      asked.set(key, { answer, waiting: 1 });
      return answer;
    },
  };
}

/** Everything that a different answer could come of. */
function keyOf({ packet, query, group, overTcp }: Question): string {
  const rest = packet.toString("latin1", query.questionEnd);
  return `${group} ${overTcp} ${query.flags} ${query.type} ${query.class} ${query.name} ${rest}`;
}

async function askInTurn(question: Question, deadlines: Deadlines, port: number): Promise<Buffer | undefined> {
  const until = performance.now() + TOTAL_MS;
  let last: Buffer | undefined;
  for (const server of question.servers) {
    const leftMs = until - performance.now();
    if (leftMs <= 0) break;
    const reply = await askOne(question, { server, port, deadlines, limitMs: Math.min(SERVER_MS, leftMs) });
    if (reply === undefined) continue;
    const code = codeOf(reply);
    if (code === NOERROR || code === NXDOMAIN) return reply;
    last = reply; // the next one may know better
  }
  return last;
}

interface Asking {
  readonly server: Server;
  readonly port: number;
  readonly deadlines: Deadlines;
  readonly limitMs: number;
}

async function askOne(question: Question, asking: Asking): Promise<Buffer | undefined> {
  if (question.overTcp) return await askTcp(question, asking);
  const reply = await askUdp(question, asking);
  if (reply === undefined || !isTruncated(reply)) return reply;
  const whole = await askTcp(question, asking);
  // What was cut off is more than nothing to a client that takes no more.
  return whole === undefined || whole.length > question.query.udpBytes ? reply : whole;
}

/** The question under an id of its own. */
function sealed({ packet }: Question): Buffer {
  const id = new Uint16Array(1);
  crypto.getRandomValues(id);
  return withId(packet, id[0] ?? 0);
}

function inNamespace<T>({ namespace }: Server, action: () => T): T {
  return namespace === undefined ? action() : inside(namespace, action);
}

async function askUdp(question: Question, { server, port, deadlines, limitMs }: Asking): Promise<Buffer | undefined> {
  const packet = sealed(question);
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const forget = deadlines.add(limitMs, () => resolve(undefined));
  try {
    // Made and connected before the call returns; only the result is a promise.
    using socket = disposable(
      await inNamespace(server, () =>
        Bun.udpSocket({
          connect: { hostname: server.address, port },
          socket: {
            data: (_socket, reply) => {
              if (isAnswerTo(reply, packet, question.query.questionEnd)) resolve(Buffer.from(reply));
            },
            error: () => resolve(undefined), // nobody listens there
          },
        }),
      ),
    );
    socket.value.send(packet);
    return await promise;
  } catch {
    return undefined; // no route, no such family: the next server is asked
  } finally {
    forget();
  }
}

function disposable(value: Bun.udp.ConnectedSocket<"buffer">) {
  return { value, [Symbol.dispose]: () => value.close() };
}

async function askTcp(question: Question, { server, port, deadlines, limitMs }: Asking): Promise<Buffer | undefined> {
  const packet = sealed(question);
  const framed = Buffer.alloc(2 + packet.length);
  framed.writeUInt16BE(packet.length, 0);
  packet.copy(framed, 2);
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const forget = deadlines.add(limitMs, () => resolve(undefined));
  let received = Buffer.alloc(0);
  let unsent: Buffer = framed;
  const flush = (socket: Bun.Socket): void => {
    unsent = unsent.subarray(Math.max(0, socket.write(unsent)));
  };
  try {
    const connecting = inNamespace(server, () =>
      Bun.connect({
        hostname: server.address,
        port,
        socket: {
          open: flush,
          drain: (socket) => {
            if (unsent.length > 0) flush(socket);
          },
          data: (_socket, chunk) => {
            received = Buffer.concat([received, chunk]);
            if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
            const reply = received.subarray(2, 2 + received.readUInt16BE(0));
            resolve(isAnswerTo(reply, packet, question.query.questionEnd) ? reply : undefined);
          },
          close: () => resolve(undefined),
          error: () => resolve(undefined),
          connectError: () => resolve(undefined),
        },
      }),
    );
    connecting.then(
      (socket) => void promise.then(() => socket.terminate()),
      () => resolve(undefined),
    );
    return await promise;
  } catch {
    return undefined; // no route, no such family: the next server is asked
  } finally {
    forget();
  }
}
