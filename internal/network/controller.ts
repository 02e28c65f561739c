/** The controller: networks and endpoints as netd's clients know them, kept true to what the kernel has. */
import { CtrError, withContext } from "../errors/error.ts";
import type { AttachRequest, DetachRequest, Endpoint, NetworkRecord, NetworkRequest, Sandbox } from "../ipc/netd.ts";
import { getLink } from "../netlink/link.ts";
import { decodeRoute, listRoutes } from "../netlink/route.ts";
import { decodeRoute6, listRoutes6 } from "../netlink/route6.ts";
import { dump, exchange, NETLINK_ROUTE, openNetlink } from "../netlink/socket.ts";
import type { Watched } from "../sys/idle.ts";
import { readConfig } from "./config.ts";
import { describeNetwork } from "./describe-network.ts";
import type { Driver } from "./drivers/driver.ts";
import { createDrivers, driverOf, PREDEFINED } from "./drivers/table.ts";
import { createEndWatch } from "./end-watch.ts";
import { createFilter } from "./filter.ts";
import { randomId } from "./id.ts";
import { watchLinks } from "./link-watch.ts";
import { configureLive } from "./live.ts";
import { type PortPlace, settlePorts } from "./live-ports.ts";
import type { Log } from "./log.ts";
import { type Dns, type NamedEndpoint, NO_DNS, readNames } from "./names.ts";
import { planNetwork, type Surroundings } from "./plan.ts";
import { noPorts } from "./ports.ts";
import { isAlive, openSandbox, readBootId, type SandboxRecord } from "./sandbox.ts";
import {
  addNetwork,
  type EndpointRecord,
  endpointOfInterface,
  endpointsOf,
  findNetwork,
  insertNetwork,
  listEndpoints,
  listNetworks,
  type NetworkRow,
  networkCalled,
  openStore,
  renameEndpoints,
  type Store,
} from "./store.ts";
import { createTurns } from "./turns.ts";

/** What concerns all networks is one turn, as what concerns one container is: no id of a container is a word. */
const NETWORKS = "networks";

export interface Counts {
  readonly networks: number;
  readonly endpoints: number;
  /** Addresses that somebody has. */
  readonly leases: number;
  readonly ports: number;
}

export interface Reconciled {
  readonly atMs: number;
  readonly cause: "start" | "reload" | "request";
  /** What was put right. */
  readonly differences: readonly string[];
}

export interface Controller extends Disposable {
  attach(request: AttachRequest): Promise<Endpoint>;
  /** Out of one network, or all. */
  detach(containerId: string, options?: Omit<DetachRequest, "containerId">): Promise<void>;
  createNetwork(request: NetworkRequest): Promise<NetworkRecord>;
  /** The network as it was. Throws CtrError `conflict` while somebody is on it. */
  removeNetwork(nameOrId: string): Promise<NetworkRecord>;
  /** What differs between the store and the kernel; with `fix` it is put right then. */
  check(fix: boolean): Promise<readonly string[]>;
  /** Reads the configuration again, which holds for what is made from now on, and puts right what differs. */
  reload(): Promise<readonly string[]>;
  readonly counts: Counts;
  /** The last time everything was put right. */
  readonly reconciled: Reconciled;
  /** Resolves when what was found at the start has been put right, as far as it could be. */
  readonly settled: Promise<void>;
  /** Throws when the store or the kernel does not answer. */
  probe(): void;
  /** Another name for a container; for messages. */
  rename(containerId: string, name: string): void;
  endpoints(containerId?: string): Endpoint[];
  networks(): NetworkRecord[];
  /** Everybody who has names, or one container's, for a name server. */
  namesOnNetworks(containerId?: string): readonly NamedEndpoint[];
  /** Resolves when the container's name server listens. */
  served(containerId: string): Promise<void>;
  /** For `dozeWhenIdle`: our timers, and the processes whose end is the end of a sandbox. */
  readonly watched: Watched;
}

/**
 * Opens the store, and brings store and kernel together: endpoints whose sandbox is gone are released, those that are
 * alive keep their address, their ports and their rules. From then on it follows the kernel's own news of links.
 */
export async function openController(root: string, log: Log, dns: Dns = NO_DNS): Promise<Controller> {
  const dnsChanged = dns.changed;
  let config = readConfig(root);
  using undo = new DisposableStack();
  const store = undo.use(openStore(root));
  const netlink = undo.use(openNetlink(NETLINK_ROUTE));
  const bootId = readBootId();
  const filter = createFilter(store);
  const drivers = createDrivers({
    root,
    get config() {
      return config;
    },
    bootId,
    store,
    netlink,
    filter,
    ports: noPorts(),
    log,
  });
  for (const { name, driver } of PREDEFINED)
    addNetwork(store, { id: randomId(), name, driver, created_at: Date.now() });

  const networkOf = (endpoint: EndpointRecord): { network: NetworkRow; driver: Driver } => {
    const network = findNetwork(store, endpoint.networkId);
    if (network === undefined) throw new CtrError("internal", `endpoint ${endpoint.id} is in no network`);
    return { network, driver: driverOf(drivers, network.driver) };
  };
  const detachEndpoint = async (endpoint: EndpointRecord, mode: "later" | "now" = "later"): Promise<void> => {
    const { network, driver } = networkOf(endpoint);
    ends.forget(endpoint.id);
    await driver.detach(network, endpoint, mode);
    if (!hasNoNames(network)) await dnsChanged(endpoint.containerId);
  };
  const surroundings = (): Surroundings => ({
    networks: listNetworks(store),
    routes: dump(netlink, listRoutes()).flatMap((message) => decodeRoute(message) ?? []),
    routes6: dump(netlink, listRoutes6()).flatMap((message) => decodeRoute6(message) ?? []),
    mtu: config.mtu,
  });
  /** Containers whose name server is made when their attach has been answered. */
  let unserved = 0;
  const serveSoon = (containerId: string): void => {
    unserved += 1;
    setImmediate(() => {
      unserved -= 1;
      void dnsChanged(containerId);
    });
  };
  const inTurn = createTurns();
  const networkAsked = (nameOrId: string): NetworkRow => {
    const network = networkCalled(store, nameOrId);
    if (network === undefined) throw new CtrError("not-found", `network ${nameOrId} not found`);
    return network;
  };
  const attachedOf = (containerId: string): EndpointRecord[] =>
    endpointsOf(store, containerId).filter(({ state }) => state === "attached");
  const describeEndpoint = (endpoint: EndpointRecord): Endpoint => {
    const { network, driver } = networkOf(endpoint);
    return driver.describe(network, endpoint);
  };
  /** Inside a container that runs: the new interface, and the default routes among all that it has. */
  const configure = (containerId: string, sandbox: Sandbox, added?: Endpoint): void => {
    const { namespace } = openSandbox(sandbox, bootId);
    using _ = namespace;
    configureLive(namespace.number, attachedOf(containerId).map(describeEndpoint), added?.interface);
  };
  /** What can be published on, of a container that runs. */
  const portPlaces = (containerId: string): PortPlace[] =>
    attachedOf(containerId).map((endpoint) => ({
      endpoint,
      described: describeEndpoint(endpoint),
      ...networkOf(endpoint),
    }));
  const ends = undo.use(createEndWatch());

  /** Attached endpoints whose sandbox ended without a word. */
  const gone = (isWanted: (endpoint: EndpointRecord) => boolean = () => true): EndpointRecord[] =>
    listEndpoints(store).filter(
      (endpoint) => endpoint.state === "attached" && isWanted(endpoint) && !isAlive(endpoint.sandbox, bootId),
    );
  const collect = (endpoints: readonly EndpointRecord[]): Promise<void>[] =>
    endpoints.map((endpoint) =>
      inTurn(endpoint.containerId, async () => {
        // Somebody may have taken care of it since.
        const current = endpointsOf(store, endpoint.containerId).find(({ id }) => id === endpoint.id);
        if (current?.state === endpoint.state) await detachEndpoint(current);
      }).catch((error: unknown) => log(withContext(`release the endpoint of ${endpoint.name}`, error).message)),
    );
  const watchEnd = (endpoint: EndpointRecord): void => ends.watch(endpoint, () => collect([endpoint]));
  const onLinkGone = (name: string): void => {
    const endpoint = endpointOfInterface(store, name);
    if (endpoint !== undefined && endpoint.state !== "released") collect([endpoint]);
    for (const driver of drivers.values()) driver.linkGone(name);
  };
  /** What is not the packet filter's. */
  const linkDifferences = (): string[] => [
    ...listEndpoints(store)
      .filter(({ state }) => state === "reserved")
      .map(({ name }) => `the endpoint of ${name} was never finished`),
    ...gone().map(({ name }) => `${name} has ended, its endpoint is there still`),
    ...listNetworks(store).flatMap((network) => driverOf(drivers, network.driver).check(network)),
    ...dns.differences(),
  ];
  let reconciled: Reconciled = { atMs: Date.now(), cause: "start", differences: [] };
  const note = (cause: Reconciled["cause"], differences: readonly string[]): void => {
    reconciled = { atMs: Date.now(), cause, differences };
    for (const line of differences) log(`put right: ${line}`, "info");
  };
  const check = (fix: boolean, cause: "reload" | "request"): Promise<readonly string[]> =>
    inTurn(NETWORKS, async () => {
      const look = async () => [...linkDifferences(), ...(await filter.differences())];
      const first = await look();
      // What somebody is just about to do looks like a difference, once.
      const second = first.length === 0 ? first : await look();
      const differences = second.filter((line) => first.includes(line));
      if (!fix) return differences;
      await Promise.all(collect([...listEndpoints(store).filter(({ state }) => state === "reserved"), ...gone()]));
      for (const network of listNetworks(store)) await driverOf(drivers, network.driver).repair(network);
      await filter.establish();
      await dns.repair();
      note(cause, differences);
      return differences;
    });
  const reconcile = async (): Promise<void> => {
    const before = linkDifferences();
    for (const network of listNetworks(store))
      if (!hasNoNames(network)) driverOf(drivers, network.driver).restore(network);
    const leftovers = listEndpoints(store).filter(({ state }) => state !== "attached");
    for (const endpoint of listEndpoints(store)) {
      if (endpoint.state !== "attached" || !isAlive(endpoint.sandbox, bootId)) continue;
      const { network, driver } = networkOf(endpoint);
      try {
        driver.adopt(network, endpoint);
        watchEnd(endpoint);
      } catch (error) {
        // It is tried again by the next attach, which hears the reason; the container's traffic needs none of it.
        log(withContext(`take over the endpoint of ${endpoint.name}`, error).message);
      }
    }
    await Promise.all(collect([...leftovers, ...gone()]));
    const { device } = findNetwork(store, "bridge") ?? {};
    // Killed while it removed a network, an earlier netd may not have come to the network's rules.
    if (typeof device === "string") await filter.tidy();
    note("start", [...before, ...(await filter.found())]);
  };

  const watch = await watchLinks(onLinkGone, {
    onLost: () => {
      log("news of links were lost: looking at all of them");
      collect(gone());
    },
    onFailed: (error) => log(withContext("listen for news of links", error).message),
  });
  undo.use(watch);
  const settled = reconcile();
  const owned = undo.move();

  return {
    attach: (request) =>
      inTurn(request.containerId, async () => {
        const network = networkAsked(request.network);
        const driver = driverOf(drivers, network.driver);
        driver.validate(network, request);
        for (const endpoint of endpointsOf(store, request.containerId)) {
          if (endpoint.networkId !== network.id) continue;
          ends.forget(endpoint.id);
          // A request sent again after netd was killed: the interface of the first is still in the sandbox.
          await driver.detach(network, endpoint, isAlive(endpoint.sandbox, bootId) ? "now" : "later");
        }
        if (request.ports.length > 0) await Promise.all(collect(gone(({ ports }) => ports.length > 0)));
        const isLive = request.isLive === true;
        const bound = attachedOf(request.containerId).flatMap(({ ports }) => ports);
        const attached = await driver.attach(network, isLive ? { ...request, ports: [] } : request);
        const endpoint = endpointsOf(store, request.containerId).find(({ id }) => id === attached.id);
        if (endpoint === undefined) throw new CtrError("not-found", `${request.name} has ended`);
        try {
          if (isLive) {
            configure(request.containerId, request.sandbox, attached);
            await settlePorts(portPlaces(request.containerId), request.ports);
          }
          // Its program finds the names, and a name server.
          if (!hasNoNames(network)) {
            if (request.isServedLater === true && !isLive) serveSoon(request.containerId);
            else await dnsChanged(request.containerId);
          }
        } catch (error) {
          await driver.detach(network, endpoint, "now");
          if (isLive) {
            // As it was; the reason that is told is the first one.
            configure(request.containerId, request.sandbox);
            await settlePorts(portPlaces(request.containerId), request.ports, bound).catch((problem: unknown) =>
              log(withContext(`publish the ports of ${request.name} again`, problem).message),
            );
          }
          throw error;
        }
        watchEnd(endpoint);
        return isLive ? describeEndpoint(endpointNow(store, endpoint)) : attached;
      }),
    detach: (containerId, { network: nameOrId, isLive = false, ports = [] } = {}) =>
      inTurn(containerId, async () => {
        const wanted = nameOrId === undefined ? undefined : networkAsked(nameOrId).id;
        const endpoints = endpointsOf(store, containerId).filter(
          ({ state, networkId }) => state !== "released" && (wanted === undefined || networkId === wanted),
        );
        const failures: unknown[] = [];
        for (const endpoint of endpoints)
          await detachEndpoint(endpoint, isLive ? "now" : "later").catch((error: unknown) => failures.push(error));
        const [left] = attachedOf(containerId);
        if (isLive && left !== undefined && isAlive(left.sandbox, bootId)) {
          configure(containerId, sandboxOf(left.sandbox));
          const bound = endpoints.flatMap((endpoint) => endpoint.ports);
          await settlePorts(portPlaces(containerId), ports, bound).catch((error: unknown) => failures.push(error));
        }
        if (failures.length > 0) throw failures[0];
      }),
    createNetwork: (request) =>
      inTurn(NETWORKS, async () => {
        const made = request.id === undefined ? undefined : findNetwork(store, request.id);
        if (made !== undefined && made.id === request.id && made.name === request.name) {
          // By a netd that was killed before it said so, and perhaps before all of it was there.
          await driverOf(drivers, made.driver).create(made);
          return describeNetwork(networkAsked(made.id));
        }
        // First what every engine has: it has the first subnet then, and names the chains.
        const usual = findNetwork(store, "bridge");
        if (usual?.device === null) await driverOf(drivers, usual.driver).create(usual);
        const network = planNetwork(request, surroundings());
        const driver = driverOf(drivers, network.driver);
        insertNetwork(store, network);
        try {
          await driver.create(network);
        } catch (error) {
          // The reason that is told is the first one; what is left of it the next check finds.
          await driver
            .remove(network)
            .catch((problem: unknown) => log(withContext("take back a network", problem).message));
          throw error;
        }
        return describeNetwork(networkAsked(network.id));
      }),
    removeNetwork: (nameOrId) =>
      inTurn(NETWORKS, async () => {
        const network = networkAsked(nameOrId);
        if (hasNoNames(network))
          throw new CtrError("denied", `${network.name} is a pre-defined network and cannot be removed`);
        await Promise.all(collect(gone(({ networkId }) => networkId === network.id)));
        const users = listEndpoints(store).filter(({ networkId }) => networkId === network.id);
        const active = users.filter(({ state }) => state !== "released");
        if (active.length > 0) {
          const shown = active.map(({ name, containerId }) => `name:"${name}" id:"${containerId.slice(0, 12)}"`);
          throw new CtrError(
            "conflict",
            `error while removing network: network ${network.name} has active endpoints (${shown.join(", ")})`,
          );
        }
        const driver = driverOf(drivers, network.driver);
        // What is being torn down: at once, because the network's row goes.
        for (const endpoint of users) await driver.detach(network, endpoint, "now");
        await driver.remove(network);
        return describeNetwork(network);
      }),
    check: (fix) => check(fix, "request"),
    reload: async () => {
      config = readConfig(root);
      return await check(true, "reload");
    },
    get counts() {
      const endpoints = listEndpoints(store);
      return {
        networks: listNetworks(store).length,
        endpoints: endpoints.filter(({ state }) => state === "attached").length,
        leases: endpoints.reduce((sum, { address, settings, state }) => {
          if (state === "released") return sum;
          return sum + (address === undefined ? 0 : 1) + (settings.address6 === undefined ? 0 : 1);
        }, 0),
        ports: endpoints.reduce((sum, { ports }) => sum + ports.length, 0),
      };
    },
    get reconciled() {
      return reconciled;
    },
    settled,
    probe: () => {
      listNetworks(store);
      exchange(netlink, [getLink("lo")]);
    },
    rename: (containerId, name) => {
      renameEndpoints(store, containerId, name);
      void dnsChanged(containerId);
    },
    endpoints: (containerId) =>
      (containerId === undefined ? listEndpoints(store) : endpointsOf(store, containerId))
        .filter(({ state }) => state === "attached")
        .map(describeEndpoint),
    networks: () => listNetworks(store).map(describeNetwork),
    namesOnNetworks: (containerId) => readNames(store, (name) => !isPredefined(name), containerId),
    served: dns.served,
    watched: {
      untilNextTimer: () =>
        unserved > 0 || [...drivers.values()].some((driver) => driver.isWaiting()) ? 0 : undefined,
      descriptors: ends.descriptors,
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** The row as it is by now. */
function endpointNow(store: Store, endpoint: EndpointRecord): EndpointRecord {
  return endpointsOf(store, endpoint.containerId).find(({ id }) => id === endpoint.id) ?? endpoint;
}

/** The default bridge has links only, and the others no endpoints. */
function hasNoNames({ name }: NetworkRow): boolean {
  return isPredefined(name);
}

function isPredefined(name: string): boolean {
  return PREDEFINED.some((network) => network.name === name);
}

function sandboxOf({ pid, path }: SandboxRecord): Sandbox {
  if (pid !== undefined) return { pid };
  if (path !== undefined) return { path };
  throw new CtrError("internal", "a sandbox without a process or a path");
}
