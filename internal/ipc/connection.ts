/**
 * A framed connection over a Unix stream socket or an end of a socketpair, driven by Bun's event loop.
 *
 *   both ends ──hello {conversation, version}──▶ first, at once
 *   then messages of the conversation, each checked by its decoder; a bad one ends this connection only
 */
import { CtrError, ProtocolError } from "../errors/error.ts";
import { close } from "../sys/fd.ts";
import { descriptorOf, peerCredentials } from "../sys/socket.ts";
import { encodeFrame, FrameReader } from "./frame.ts";
import { checkHello, hello } from "./hello.ts";

/** A conversation: its name, its version, and the check of what arrives at this end. */
export interface Conversation<In> {
  readonly name: string;
  readonly version: number;
  readonly decode: (value: unknown) => In;
  /** True if this end's hello is on its way already, written before the connection was made of the descriptor. */
  readonly hasGreeted?: boolean;
}

/** This end of a connection. */
export interface Connection<In, Out extends object> {
  /** The other side's user; -1 for a socketpair, whose ends we made ourselves. */
  readonly peerUid: number;
  /** Queues a message; after the end of the connection it goes nowhere. */
  send(message: Out): void;
  /** Bytes not yet taken by the kernel. */
  readonly queuedBytes: number;
  /** Resolves when the kernel has taken everything, or the connection has ended. */
  drained(): Promise<void>;
  /** Sends what is queued, then ends. */
  end(): void;
  /** Resolves when `end` was called and the kernel has taken everything before it, or the connection has ended. */
  readonly delivered: Promise<void>;
  /** The next message; undefined at the end. Throws what ended the connection wrongly. Only one reader at a time. */
  receive(): Promise<In | undefined>;
  /** Resolves when the connection has ended. */
  readonly ended: Promise<void>;
}

/** How much may arrive ahead of its reader before the socket is paused: in messages. */
const MAX_UNREAD = 64;

interface Wire {
  write(bytes: Uint8Array): number;
  end(): void;
  pause(): void;
  resume(): void;
}

class FramedConnection<In, Out extends object> implements Connection<In, Out> {
  readonly ended: Promise<void>;
  #resolveEnded: () => void = () => {};
  readonly delivered: Promise<void>;
  #resolveDelivered: () => void = () => {};
  readonly peerUid: number;
  readonly #conversation: Conversation<In>;
  readonly #wire: Wire;
  readonly #reader = new FrameReader();
  readonly #unread: In[] = [];
  #waiting: { resolve: (message: In | undefined) => void; reject: (error: unknown) => void } | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #drainWaiters: (() => void)[] = [];
  #greeted = false;
  #hasAsked = false;
  #isPaused = false;
  #state: "open" | "ending" | "ended" = "open";
  #failure: unknown;

  constructor(wire: Wire, conversation: Conversation<In>, peerUid: number) {
    this.#wire = wire;
    this.#conversation = conversation;
    this.peerUid = peerUid;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.delivered = new Promise((resolve) => {
      this.#resolveDelivered = resolve;
    });
    if (conversation.hasGreeted !== true) this.#write(encodeFrame(hello(conversation)));
  }

  send(message: Out): void {
    if (this.#state === "open") this.#write(encodeFrame(message));
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** True once a message has come after the hello. */
  get hasAsked(): boolean {
    return this.#hasAsked;
  }

  drained(): Promise<void> {
    if (this.#queuedBytes === 0 || this.#state === "ended") return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    if (this.#queuedBytes === 0) this.#hangUp();
  }

  #hangUp(): void {
    this.#wire.end();
    this.#resolveDelivered();
  }

  receive(): Promise<In | undefined> {
    const message = this.#unread.shift();
    if (message !== undefined) {
      if (this.#isPaused && this.#unread.length < MAX_UNREAD / 2) {
        this.#isPaused = false;
        this.#wire.resume();
      }
      return Promise.resolve(message);
    }
    if (this.#state === "ended") {
      return this.#failure === undefined ? Promise.resolve(undefined) : Promise.reject(this.#failure);
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** Bytes arrived. */
  onData(chunk: Uint8Array): void {
    if (this.#state === "ended") return;
    try {
      this.#reader.push(chunk);
      for (let value = this.#reader.next(); value !== undefined; value = this.#reader.next()) this.#onValue(value);
    } catch (error) {
      this.onEnd(error);
      this.#wire.end();
    }
  }

  #onValue(value: unknown): void {
    if (!this.#greeted) {
      checkHello(value, this.#conversation);
      this.#greeted = true;
      return;
    }
    const message = this.#conversation.decode(value);
    this.#hasAsked = true;
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve(message);
      return;
    }
    this.#unread.push(message);
    if (this.#unread.length >= MAX_UNREAD && !this.#isPaused) {
      this.#isPaused = true;
      this.#wire.pause();
    }
  }

  /** The kernel takes bytes again. */
  onDrain(): void {
    while (this.#queue.length > 0) {
      const first = this.#queue[0] ?? new Uint8Array(0);
      const written = this.#wire.write(first);
      if (written <= 0) break;
      this.#queuedBytes -= written;
      if (written < first.length) {
        this.#queue[0] = first.subarray(written);
        return;
      }
      this.#queue.shift();
    }
    if (this.#queuedBytes > 0) return;
    for (const resolve of this.#drainWaiters.splice(0)) resolve();
    if (this.#state === "ending") this.#hangUp();
  }

  /** The other side is gone, or something failed. */
  onEnd(error?: unknown): void {
    if (this.#state === "ended") return;
    this.#failure =
      error ?? (this.#reader.isPartial ? new ProtocolError("the connection ended inside a frame") : undefined);
    this.#state = "ended";
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const resolve of this.#drainWaiters.splice(0)) resolve();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) {
      if (this.#failure === undefined) waiting.resolve(undefined);
      else waiting.reject(this.#failure);
    }
    this.#resolveDelivered();
    this.#resolveEnded();
  }

  #write(frame: Uint8Array): void {
    if (this.#queue.length === 0) {
      const written = Math.max(0, this.#wire.write(frame));
      if (written === frame.length) return;
      this.#queue.push(frame.subarray(written));
      this.#queuedBytes += frame.length - written;
    } else {
      this.#queue.push(frame);
      this.#queuedBytes += frame.length;
    }
  }
}

type Held = { connection?: FramedConnection<never, object> };

function handlers(onOpen: (socket: Bun.Socket<Held>) => void) {
  return {
    binaryType: "uint8array" as const,
    open: onOpen,
    data: (socket: Bun.Socket<Held>, chunk: Uint8Array) => socket.data.connection?.onData(chunk),
    drain: (socket: Bun.Socket<Held>) => socket.data.connection?.onDrain(),
    end: (socket: Bun.Socket<Held>) => {
      socket.data.connection?.onEnd();
      socket.end();
    },
    close: (socket: Bun.Socket<Held>) => socket.data.connection?.onEnd(),
    error: (socket: Bun.Socket<Held>, error: Error) => socket.data.connection?.onEnd(error),
  };
}

function adopt<In, Out extends object>(
  socket: Bun.Socket<Held>,
  conversation: Conversation<In>,
  peerUid: number,
): FramedConnection<In, Out> {
  const connection = new FramedConnection<In, Out>(
    {
      write: (bytes) => socket.write(bytes),
      end: () => socket.end(),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
    },
    conversation,
    peerUid,
  );
  socket.data.connection = connection as unknown as FramedConnection<never, object>;
  return connection;
}

/** Connects to a Unix socket. A missing socket, or one that nobody listens on, is `unavailable`. */
export async function connectUnix<In, Out extends object>(
  path: string,
  conversation: Conversation<In>,
): Promise<Connection<In, Out>> {
  const data: Held = {};
  try {
    const socket = await Bun.connect<Held>({ unix: path, data, socket: handlers(() => {}) });
    return adopt<In, Out>(socket, conversation, peerCredentials(descriptorOf(socket)).uid);
  } catch (error) {
    throw new CtrError("unavailable", `connect ${path}: nobody answers`, { cause: error });
  }
}

/** Wraps an end of a socketpair; the descriptor belongs to the connection from here on. */
export async function connectFd<In, Out extends object>(
  fd: number,
  conversation: Conversation<In>,
): Promise<Connection<In, Out>> {
  const data: Held = {};
  try {
    const socket = await Bun.connect<Held>({ fd, data, socket: handlers(() => {}) } as never);
    return adopt<In, Out>(socket, conversation, -1);
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** A listening Unix socket. */
export interface Listener {
  stop(): void;
  /** Connections open now. */
  readonly count: number;
}

/**
 * No more connections than this at once. Beyond it the oldest that has not asked for anything gives way to the new one,
 * so that silent connections cannot keep others out; when all have asked, the new one is turned away.
 */
const MAX_CONNECTIONS = 256;

/**
 * Listens on `path` (or on a descriptor handed over by systemd). Peers that are not this user or root are closed
 * unheard (`SO_PEERCRED`, unix(7)).
 */
export function listenUnix<In, Out extends object>(
  where: { readonly path: string } | { readonly fd: number },
  conversation: Conversation<In>,
  onConnection: (connection: Connection<In, Out>) => void,
): Listener {
  // In the order they came.
  const open = new Map<FramedConnection<In, Out>, Bun.Socket<Held>>();
  const socket = handlers((opened: Bun.Socket<Held>) => {
    opened.data = {};
    const uid = peerCredentials(descriptorOf(opened)).uid;
    if ((uid !== 0 && uid !== process.geteuid?.()) || (open.size >= MAX_CONNECTIONS && !makeRoom(open))) {
      opened.terminate();
      return;
    }
    const connection = adopt<In, Out>(opened, conversation, uid);
    open.set(connection, opened);
    void connection.ended.then(() => open.delete(connection));
    onConnection(connection);
  });
  const address = "path" in where ? { unix: where.path } : { fd: where.fd };
  const server = Bun.listen<Held>({ ...address, data: {}, socket } as never);
  return {
    stop: () => server.stop(),
    get count() {
      return open.size;
    },
  };
}

/** Ends the oldest connection that has not asked for anything; false if all have. */
function makeRoom<In, Out extends object>(open: Map<FramedConnection<In, Out>, Bun.Socket<Held>>): boolean {
  for (const [connection, socket] of open) {
    if (connection.hasAsked) continue;
    open.delete(connection);
    connection.onEnd();
    socket.terminate();
    return true;
  }
  return false;
}
