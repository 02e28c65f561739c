/**
 * The asking end of the conversation with netd, and netd's start on first need: whoever finds nobody listening makes the
 * socket, hands it to a new netd and connects at once; the kernel keeps the connection until netd takes it.
 */
import { CtrError, ECONNREFUSED, ENOENT, isErrno } from "../errors/error.ts";
import { AT_FDCWD, type Fd, flock, LOCK_EX, O_APPEND, O_CREAT, O_RDWR, O_WRONLY, open } from "../sys/fd.ts";
import { mkdirAll, readText, unlinkat } from "../sys/file.ts";
import { reapChild, umask } from "../sys/process.ts";
import { AF_UNIX, bind, connect, listen, SOCK_STREAM, socket, unixAddress } from "../sys/socket.ts";
import { spawnRole } from "../sys/spawn.ts";
import { type Connection, connectUnix } from "./connection.ts";
import {
  type AttachRequest,
  type Endpoint,
  type FromNetd,
  NETD_CLIENT,
  type NetdStatus,
  type NetworkRecord,
  type NetworkRequest,
  netdSocket,
  type PortRequest,
  type ToNetd,
} from "./netd.ts";

/** How long an answer may take: a rule change waits for other programs' rule changes. */
const ANSWER_TIMEOUT_MS = 60_000;
/** How often a request is sent, if netd ends over it every time. */
const ATTEMPTS = 5;
const BACKLOG = 256;
/** The descriptor a spawned netd finds its listening socket at, as systemd does it (sd_listen_fds(3)). */
export const NETD_LISTEN_FD = 3;

/** The engine's directories. */
export interface NetdDirectories {
  readonly root: string;
  readonly state: string;
}

/** A connection to netd. Its requests are sent one after the other; a netd that died is started anew, once per request. */
export interface NetdClient extends Disposable {
  /** Puts a container into a network; replaces what an earlier attach of it left. */
  attach(request: AttachRequest): Promise<Endpoint>;
  /** Resolves when the name server of a container listens whose attaches were `isServedLater`. */
  served(containerId: string): Promise<void>;
  /** Takes a container out of its networks; one that is in none is fine. */
  detach(containerId: string): Promise<void>;
  /** Takes a container, whose program runs on, out of one network. */
  disconnect(containerId: string, network: string, ports: readonly PortRequest[]): Promise<void>;
  createNetwork(request: NetworkRequest): Promise<NetworkRecord>;
  /** The network as it was. Throws `conflict` while somebody is on it. */
  removeNetwork(network: string): Promise<NetworkRecord>;
  /** What differs between the records and the kernel; with `fix` it is put right. */
  check(fix: boolean): Promise<readonly string[]>;
  /** As `check(true)`, after reading the configuration again. */
  reload(): Promise<readonly string[]>;
  /** Another name for a container; one that is in no network is fine. */
  rename(containerId: string, name: string): Promise<void>;
  /** The endpoints of one container, or all. */
  endpoints(containerId?: string): Promise<readonly Endpoint[]>;
  networks(): Promise<readonly NetworkRecord[]>;
  status(): Promise<NetdStatus>;
}

type NetdConnection = Connection<FromNetd, ToNetd>;

/** A client of the netd that runs now, or undefined when none does. It starts none later either, but follows a restart. */
export async function connectNetd(directories: NetdDirectories): Promise<NetdClient | undefined> {
  const connection = await tryConnect(directories.state);
  return connection === undefined ? undefined : clientOver(connection, () => tryConnect(directories.state));
}

/** A client of netd, which is started when none runs. Throws CtrError when it cannot be. */
export async function ensureNetd(directories: NetdDirectories): Promise<NetdClient> {
  let started: number | undefined;
  const open = async (): Promise<NetdConnection> => {
    // The netd we started may be what died: leave no zombie behind in a process that lives long.
    if (started !== undefined && reapChild(started) !== undefined) started = undefined;
    const running = await tryConnect(directories.state);
    if (running !== undefined) return running;
    started = wakeNetd(directories);
    return connectUnix<FromNetd, ToNetd>(netdSocket(directories.state), NETD_CLIENT);
  };
  return clientOver(await open(), open, () => lastLogLine(directories.state));
}

async function tryConnect(state: string): Promise<NetdConnection | undefined> {
  try {
    return await connectUnix<FromNetd, ToNetd>(netdSocket(state), NETD_CLIENT);
  } catch (error) {
    if (error instanceof CtrError && error.kind === "unavailable") return undefined;
    throw error;
  }
}

/**
 * Makes sure that a netd runs, without a word to it: a new one puts everything right at its start, and one that runs hears
 * of a sandbox's end by itself. For whoever has found a dead container. Returns the pid of the netd it started.
 */
export function wakeNetd({ root, state }: NetdDirectories): number | undefined {
  mkdirAll(state, 0o711);
  // Held for the few milliseconds of a start, and dropped by the kernel if we die in them.
  using lock = open(`${state}/netd-start.lock`, O_RDWR | O_CREAT, 0o600);
  flock(lock.number, LOCK_EX);
  if (isListening(netdSocket(state))) return undefined;
  using listener = listenAt(netdSocket(state));
  using devNull = open("/dev/null", O_RDWR);
  using log = open(netdLog(state), O_WRONLY | O_CREAT | O_APPEND, 0o600);
  const settings = { CTR_ROOT: root, CTR_STATE: state, CTR_LISTEN_FD: String(NETD_LISTEN_FD) };
  const fds = [devNull.number, log.number, log.number, listener.number];
  const child = spawnRole("netd", [], settings, { fds, newSession: true });
  child.pidfd.close();
  return child.pid;
}

/** connect(2) of a Unix socket does not wait: somebody listens there, or nobody does. */
function isListening(path: string): boolean {
  using fd = socket(AF_UNIX, SOCK_STREAM);
  try {
    connect(fd.number, unixAddress(path), path);
    return true;
  } catch (error) {
    if (isErrno(error, ENOENT, ECONNREFUSED)) return false;
    throw error;
  }
}

/** A new listening socket at `path`, for its owner only; one that nobody listens on any more is replaced. */
export function listenAt(path: string): Fd {
  try {
    unlinkat(AT_FDCWD, path);
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
  }
  const fd = socket(AF_UNIX, SOCK_STREAM);
  const mask = umask(0o177); // the socket is made with 0777 less the mask: 0600
  try {
    bind(fd.number, unixAddress(path), path);
    listen(fd.number, BACKLOG);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  } finally {
    umask(mask);
  }
}

/** What a netd that nobody supervises says goes here. */
export function netdLog(state: string): string {
  return `${state}/netd.log`;
}

function lastLogLine(state: string): string | undefined {
  try {
    return readText(netdLog(state)).trimEnd().split("\n").at(-1);
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

function clientOver(
  first: NetdConnection,
  reopen: () => Promise<NetdConnection | undefined>,
  reason: () => string | undefined = () => undefined,
): NetdClient {
  let connection = first;
  let previous: Promise<unknown> = Promise.resolve();

  const converse = async (message: ToNetd, ifGone?: FromNetd): Promise<FromNetd> => {
    let answer = await askOver(connection, message);
    const isFirst = answer !== undefined;
    for (let lost = 1; answer === undefined && lost < ATTEMPTS; lost++) {
      // netd was killed, or restarted. What it did of this request the next one finds and replaces.
      const next = await reopen();
      if (next === undefined) break;
      connection = next;
      answer = await askOver(connection, message);
    }
    if (answer === undefined) {
      const words = reason();
      throw new CtrError(
        "unavailable",
        words === undefined || words === "" ? "netd has ended" : `netd has ended: ${words}`,
      );
    }
    // It was there: a netd took it away that could not say so any more.
    if (!isFirst && ifGone !== undefined && answer.type === "failed" && answer.kind === "not-found") return ifGone;
    if (answer.type === "failed") throw new CtrError(answer.kind, answer.message);
    return answer;
  };
  const ask = async <Type extends FromNetd["type"]>(
    message: ToNetd,
    type: Type,
    ifGone?: FromNetd,
  ): Promise<FromNetd & { type: Type }> => {
    const turn = previous.then(() => converse(message, ifGone));
    previous = turn.catch(() => undefined); // its own caller hears of it; the next request goes ahead
    const answer = await turn;
    if (!isType(answer, type)) throw new CtrError("internal", `netd answered ${answer.type} to ${message.type}`);
    return answer;
  };
  return {
    attach: async (request) => (await ask({ type: "attach", ...request }, "attached")).endpoint,
    served: async (containerId) => void (await ask({ type: "endpoints", containerId, isServed: true }, "endpoints")),
    detach: async (containerId) => void (await ask({ type: "detach", containerId }, "detached")),
    disconnect: async (containerId, network, ports) =>
      void (await ask({ type: "detach", containerId, network, isLive: true, ports }, "detached")),
    createNetwork: async (request) => {
      const id = crypto.getRandomValues(new Uint8Array(32)).toHex();
      return (await ask({ type: "createNetwork", id, ...request }, "networkCreated")).network;
    },
    removeNetwork: async (network) => {
      const { networks } = await ask({ type: "networks" }, "networks");
      const meant = networks.filter(({ id, name }) => name === network || id.startsWith(network));
      const [one] = meant.filter(({ id, name }) => name === network || id === network || meant.length === 1);
      const ifGone = one === undefined ? undefined : ({ type: "networkRemoved", network: one } as const);
      return (await ask({ type: "removeNetwork", network }, "networkRemoved", ifGone)).network;
    },
    check: async (fix) => (await ask({ type: "check", fix }, "checked")).differences,
    reload: async () => (await ask({ type: "reload" }, "checked")).differences,
    rename: async (containerId, name) => void (await ask({ type: "rename", containerId, name }, "renamed")),
    endpoints: async (containerId) =>
      (await ask({ type: "endpoints", ...(containerId === undefined ? {} : { containerId }) }, "endpoints")).endpoints,
    networks: async () => (await ask({ type: "networks" }, "networks")).networks,
    status: async () => (await ask({ type: "status" }, "status")).status,
    [Symbol.dispose]: () => connection.end(),
  };
}

function isType<Type extends FromNetd["type"]>(message: FromNetd, type: Type): message is FromNetd & { type: Type } {
  return message.type === type;
}

/** The answer; undefined when the connection ended first. Throws CtrError when there is none in time, or it is none. */
async function askOver(connection: NetdConnection, message: ToNetd): Promise<FromNetd | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new CtrError("unavailable", `netd did not answer within ${ANSWER_TIMEOUT_MS / 1000} s`));
      connection.end();
    }, ANSWER_TIMEOUT_MS);
  });
  try {
    connection.send(message);
    return await Promise.race([connection.receive(), timeout]);
  } catch (error) {
    // Of the socket, not of what came over it: a netd that is killed resets connections it has not read.
    if (!(error instanceof CtrError)) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
