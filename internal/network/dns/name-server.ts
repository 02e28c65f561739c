/**
 * The name server of containers on networks that users made (Docker's embedded DNS): names of containers are answered
 * from what is attached now, every other name is asked of the servers of `--dns` or of the host. One process and one event
 * loop serve all containers; each has sockets in its own network namespace, so that who asks is known without a doubt.
 */
import { CtrError, withContext } from "../../errors/error.ts";
import type { Fd } from "../../sys/fd.ts";
import { randomId } from "../id.ts";
import type { Log } from "../log.ts";
import type { NamesOnNetworks } from "../names.ts";
import { openSandbox, type SandboxRecord } from "../sandbox.ts";
import { createDeadlines } from "./deadlines.ts";
import { type Keeper, type KeptSocket, type Listener, limitOf, listenInside, TABLE } from "./listener.ts";
import {
  answer,
  badVersion,
  CLASS_IN,
  NOERROR,
  parseQuery,
  type Query,
  REFUSED,
  refusal,
  relay,
  SERVFAIL,
  TYPE_ANY,
  TYPE_AXFR,
  TYPE_IXFR,
  TYPE_PTR,
} from "./message.ts";
import { createHostServers } from "./resolv-conf.ts";
import { createUpstream, type Server, type Upstream } from "./upstream.ts";
import { buildZones, type Found, findAddress, findAny, findName, type View, type Zones } from "./zone.ts";

/** Seconds; Docker's. */
const TTL = 600;
/** Questions of one container that wait for other servers, at a time. */
const MAX_PENDING = 256;
/** Ourselves, as a container sees us: asking there would ask us again. */
const OWN_ADDRESS = "127.0.0.11";

export interface NameServer extends Disposable {
  /**
   * What `names` gives has changed, of one container or of several: settled when all that are concerned can ask. Never
   * rejects.
   */
  changed(containerId?: string): Promise<void>;
  /** Resolves when this container can ask. */
  served(containerId: string): Promise<void>;
  /** Containers that should be served and are not, or whose questions somebody leads elsewhere: a line each. */
  differences(): readonly string[];
  /** Puts that right. */
  repair(): Promise<void>;
  /** Milliseconds until a timer is due: for `dozeWhenIdle`. */
  untilNextTimer(): number | undefined;
  readonly counters: DnsCounters;
  /** Resolves when no question waits for another server. */
  idle(): Promise<void>;
}

/** Since netd's start. */
export interface DnsCounters {
  /** Containers that are served now. */
  containers: number;
  questions: number;
  /** By ourselves. */
  answered: number;
  /** Of other servers, and how many of those nobody answered. */
  forwarded: number;
  failed: number;
  /** That wait for another server now. */
  waiting: number;
}

/** Sockets that outlive netd, by name. */
export interface KeptSockets {
  /** What earlier netds kept under names that begin so; the caller's from then on. */
  take(beginning: string): readonly KeptSocket[];
  keep(name: string, fd: number): void;
  forget(name: string): void;
}

const NOT_KEPT: KeptSockets = { take: () => [], keep: () => {}, forget: () => {} };

export interface NameServerChoices {
  readonly names: NamesOnNetworks;
  readonly bootId: string;
  readonly log: Log;
  readonly kept?: KeptSockets;
  /** For tests: the host's resolv.conf. */
  readonly resolvConf?: string;
}

/** A container that is served. */
interface Client {
  readonly sandbox: string;
  readonly containerId: string;
  readonly owned: DisposableStack;
  readonly ready: Promise<void>;
  namespace: Fd | undefined;
  listener: Listener | undefined;
  pending: number;
}

export function createNameServer(choices: NameServerChoices): NameServer {
  const { names, bootId, log, kept = NOT_KEPT, resolvConf } = choices;
  const deadlines = createDeadlines();
  const upstream = createUpstream(deadlines);
  const hostServers = createHostServers(resolvConf);
  const clients = new Map<string, Client>();
  const counters = { containers: 0, questions: 0, answered: 0, forwarded: 0, failed: 0, waiting: 0 };
  const atRest: (() => void)[] = [];
  /** Built when the next question comes: many changes in a row cost one look. */
  let zones: Zones | undefined;

  const onRest = (): void => {
    for (const resolve of atRest.splice(0)) resolve();
  };

  const answerFor = (client: Client, packet: Buffer, overTcp: boolean) => {
    zones ??= buildZones(names());
    const view = zones.get(client.containerId);
    if (view === undefined) return undefined; // on its way out
    counters.questions += 1;
    return answerQuery(packet, overTcp, { view, client, upstream, hostServers, counters, log, onRest });
  };

  const close = (client: Client): void => {
    clients.delete(client.containerId);
    client.owned.dispose();
  };

  const open = (containerId: string, sandbox: SandboxRecord): Client => {
    const owned = new DisposableStack();
    const start = async (): Promise<void> => {
      try {
        const opened = openRecorded(sandbox, bootId);
        if (opened === undefined) return; // its end is told next
        client.namespace = owned.use(opened);
        const answerer = (packet: Buffer, overTcp: boolean) => answerFor(client, packet, overTcp);
        const keeper = keeperOf(kept, containerId, sandbox);
        const listening = await listenInside(opened, answerer, { deadlines, log, keeper });
        if (owned.disposed) listening[Symbol.dispose]();
        else client.listener = owned.use(listening);
      } catch (error) {
        if (owned.disposed) return; // it ended meanwhile
        log(withContext(`container DNS of ${containerId.slice(0, 12)}`, error).message);
        close(client); // tried again at the next change
      }
    };
    const client: Client = {
      sandbox: sandboxKey(sandbox),
      containerId,
      owned,
      namespace: undefined,
      listener: undefined,
      pending: 0,
      // Not before `client` is there.
      ready: Promise.resolve().then(start),
    };
    clients.set(containerId, client);
    return client;
  };

  const changed = async (of?: string): Promise<void> => {
    zones = undefined;
    const wanted = new Map<string, SandboxRecord>();
    for (const { containerId, sandbox } of names(of)) wanted.set(containerId, sandbox);
    const known = of === undefined ? [...clients.values()] : [clients.get(of) ?? []].flat();
    for (const client of known) {
      const sandbox = wanted.get(client.containerId);
      if (sandbox === undefined || sandboxKey(sandbox) !== client.sandbox) close(client);
    }
    const opened = [...wanted].map(([id, sandbox]) => clients.get(id) ?? open(id, sandbox));
    await Promise.all(opened.map(({ ready }) => ready));
  };

  const told = (containerId?: string): Promise<void> =>
    changed(containerId).catch((error: unknown) => log(withContext("container DNS", error).message));
  /** One line for a container, on however many networks it is. */
  const served = (): ReadonlyMap<string, string> =>
    new Map(names().map(({ containerId, containerName }) => [containerId, containerName]));
  const isLedElsewhere = ({ listener }: Client): boolean => listener?.isLedTo() === false;

  return {
    changed: told,
    served: async (containerId) => await (clients.get(containerId)?.ready ?? told(containerId)),
    differences: () =>
      [...served()].flatMap(([containerId, name]) => {
        const client = clients.get(containerId);
        if (client === undefined) return [`container DNS of ${name} is not there`];
        return isLedElsewhere(client)
          ? [`container DNS of ${name}: nf_tables ${TABLE} in it is not as it was written`]
          : [];
      }),
    repair: async () => {
      for (const client of clients.values()) if (isLedElsewhere(client)) client.listener?.leadAgain();
      await changed();
    },
    untilNextTimer: deadlines.untilNext,
    idle: () => (counters.waiting === 0 ? Promise.resolve() : new Promise((resolve) => atRest.push(resolve))),
    get counters() {
      counters.containers = clients.size;
      return counters;
    },
    [Symbol.dispose]: () => {
      for (const client of [...clients.values()]) close(client);
      deadlines[Symbol.dispose]();
    },
  };
}

/** The sockets of this sandbox: a name says whose they are, so that no other gets them, and is no other's. */
function keeperOf(kept: KeptSockets, containerId: string, { inode }: SandboxRecord): Keeper {
  const beginningOf = (protocol: "udp" | "tcp") => `dns-${protocol}-${containerId.slice(0, 64)}-${inode}-`;
  return {
    take: (protocol) => kept.take(beginningOf(protocol)),
    keep: (protocol, fd) => {
      const name = `${beginningOf(protocol)}${randomId().slice(0, 8)}`;
      kept.keep(name, fd);
      return name;
    },
    forget: kept.forget,
  };
}

/** What makes a sandbox this one and no later one of the same container. */
function sandboxKey({ pid, startTime, path, inode, bootId }: SandboxRecord): string {
  return [pid, startTime, path, inode, bootId].join(" ");
}

/** The namespace of a sandbox that is known already; undefined when it has gone. */
function openRecorded(sandbox: SandboxRecord, bootId: string): Fd | undefined {
  const { pid, path } = sandbox;
  if (sandbox.bootId !== bootId) return undefined;
  try {
    const opened = openSandbox(pid === undefined ? { path: path ?? "" } : { pid }, bootId);
    if (opened.record.inode === sandbox.inode && opened.record.startTime === sandbox.startTime) return opened.namespace;
    opened.namespace.close();
    return undefined;
  } catch (error) {
    if (error instanceof CtrError && error.kind === "not-found") return undefined;
    throw error;
  }
}

interface Asked {
  readonly view: View;
  readonly client: Client;
  readonly upstream: Upstream;
  readonly hostServers: () => readonly string[];
  readonly counters: DnsCounters;
  /** No question waits for another server any more. */
  readonly onRest: () => void;
  readonly log: Log;
}

/** The answer to a packet: ours at once, another server's later. */
function answerQuery(packet: Buffer, overTcp: boolean, asked: Asked): Buffer | Promise<Buffer | undefined> | undefined {
  const received = parseQuery(packet);
  if (received === undefined) return undefined;
  if (received.kind === "refused") return refusal(packet, received.code);
  const { query } = received;
  if (query.ednsVersion !== 0) return badVersion(packet, query);
  const limit = limitOf(query.udpBytes, overTcp);
  if (query.class !== CLASS_IN || query.type === TYPE_AXFR || query.type === TYPE_IXFR)
    return answer(packet, query, REFUSED, [], { limit, ttl: 0 });
  const found = find(asked.view, query);
  if (found !== undefined) {
    asked.counters.answered += 1;
    return answer(packet, query, NOERROR, found.records, { limit, ttl: TTL, first: found.first });
  }
  asked.counters.forwarded += 1;
  return forward(packet, query, { ...asked, limit, overTcp });
}

function find(view: View, { name, type }: Query): Found | undefined {
  if (type === TYPE_PTR || name.endsWith("\x04arpa")) {
    const found = findAddress(view, name);
    return found === undefined || type === TYPE_PTR || type === TYPE_ANY ? found : { records: [], first: 0 };
  }
  return type === TYPE_ANY ? findAny(view, name) : findName(view, name, type);
}

/** Asks the servers of the container, or the host's. */
async function forward(
  packet: Buffer,
  query: Query,
  {
    view,
    client,
    upstream,
    hostServers,
    counters,
    onRest,
    log,
    limit,
    overTcp,
  }: Asked & { readonly limit: number; readonly overTcp: boolean },
): Promise<Buffer | undefined> {
  const fail = (question: Buffer) => {
    counters.failed += 1;
    return Buffer.from(answer(question, query, SERVFAIL, [], { limit, ttl: 0 }));
  };
  // The packet's memory is the event loop's.
  const question = Buffer.from(packet);
  if (client.pending >= MAX_PENDING) return fail(question);
  client.pending += 1;
  counters.waiting += 1;
  try {
    const reply = await upstream.ask({ packet: question, query, ...serversFor(view, client, hostServers), overTcp });
    if (reply === undefined) return fail(question);
    return Buffer.from(relay(reply, question, query, limit));
  } catch (error) {
    log(withContext("ask another name server", error).message);
    return fail(question);
  } finally {
    client.pending -= 1;
    counters.waiting -= 1;
    if (counters.waiting === 0) onRest();
  }
}

/**
 * Servers of `--dns` are asked from inside the container, as it would ask them itself: so a network without a way out
 * keeps its promise. The host's are asked from the host, where 127.0.0.53 is somebody; not for a container that has no
 * way out (CVE-2024-29018).
 */
function serversFor(
  { servers, mayAskHost }: View,
  client: Client,
  hostServers: () => readonly string[],
): { readonly servers: readonly Server[]; readonly group: string } {
  if (servers.length === 0) {
    return { group: "host", servers: mayAskHost ? hostServers().map((address) => ({ address })) : [] };
  }
  const { namespace, containerId } = client;
  const inside = namespace === undefined ? [] : servers.filter((address) => address !== OWN_ADDRESS);
  return { group: containerId, servers: inside.map((address) => ({ address, ...(namespace && { namespace }) })) };
}
