/**
 * The bridge driver: one Linux bridge per network, one veth pair per endpoint. Nothing here waits for a container, and
 * only the packet filter is somebody else's program.
 */
import { CtrError, ENODEV, isErrno, withContext } from "../../errors/error.ts";
import type { AttachRequest, Endpoint, PortBinding } from "../../ipc/netd.ts";
import { forgetUdpFlows } from "../../netlink/conntrack.ts";
import { formatIpv4, networkOf, overlaps, type Subnet } from "../../netlink/ipv4.ts";
import {
  addBridge,
  addVeth,
  decodeLink,
  deleteLink,
  disablePort,
  getLink,
  type Link,
  listLinks,
  routeLoopback,
  setAlias,
  setHairpin,
  setLinkUpByName,
  setMaster,
} from "../../netlink/link.ts";
import { formatMac, parseMac, randomMac } from "../../netlink/mac.ts";
import {
  addAddress,
  decodeAddress,
  decodeRoute,
  deleteAddress,
  listAddresses,
  listRoutes,
  replaceNeighbour,
} from "../../netlink/route.ts";
import { dump, exchange, type Netlink } from "../../netlink/socket.ts";
import type { NetdConfig } from "../config.ts";
import type { Filter } from "../filter.ts";
import { randomId } from "../id.ts";
import { chooseSubnet, createPool, lease, type Pool, release, take } from "../ipam.ts";
import { type HeldPorts, holdBinding, holdPorts, releasePorts, validatePort } from "../ports.ts";
import { openSandbox } from "../sandbox.ts";
import {
  type EndpointRecord,
  endpointOfInterface,
  findNetwork,
  forgetEndpoint,
  listEndpoints,
  markAttached,
  markReleased,
  type NetworkRow,
  reserveEndpoint,
  type Store,
  setNetworkDevice,
} from "../store.ts";
import type { Driver } from "./driver.ts";

/** What the drivers share. */
export interface DriverContext {
  readonly root: string;
  readonly config: NetdConfig;
  readonly bootId: string;
  readonly store: Store;
  readonly netlink: Netlink;
  readonly filter: Filter;
  readonly ports: HeldPorts;
  readonly log: (line: string) => void;
}

/** The interface's name inside a container. */
const INTERFACE = "eth0";
const VETH_NAME = /^veth[0-9a-f]{7}$/;
/** How long a container's namespace may take to end and with it the veth, before the veth is removed by hand. */
const LINGER_MS = 400;

/** A network whose device is there. */
interface Bridge {
  readonly network: NetworkRow;
  readonly index: number;
  readonly device: string;
  readonly subnet: Subnet;
  readonly gateway: number;
  readonly mtu: number;
  readonly pool: Pool;
}

export function createBridgeDriver(context: DriverContext): Driver {
  const { store, netlink, filter, ports, log } = context;
  const bridges = new Map<string, Bridge>();
  const established = new Map<string, Promise<void>>();
  /** When endpoints were released, in ms; those of an earlier netd are not in it. */
  const releasedAt = new Map<string, number>();
  let isLingering = false;

  /** The bridge, its device made or taken over, its rules in place. */
  const ready = async (network: NetworkRow): Promise<Bridge> => {
    const bridge = bridges.get(network.id) ?? makeBridge(context, network);
    bridges.set(network.id, bridge);
    let isEstablished = established.get(network.id);
    if (isEstablished === undefined) {
      isEstablished = filter.establish();
      established.set(network.id, isEstablished);
      // Tried again by the next one who needs it; this one hears why it failed.
      isEstablished.catch(() => established.delete(network.id));
    }
    await isEstablished;
    return bridge;
  };

  /** Nothing of the endpoint is left in the kernel. */
  const forget = (id: string): void => {
    releasedAt.delete(id);
    forgetEndpoint(store, id);
  };

  /** Looks, later, whether the veths of released endpoints went with their namespaces, and removes those that did not. */
  const linger = (): void => {
    if (isLingering) return;
    isLingering = true;
    setTimeout(() => {
      removeLingering()
        .catch((error: unknown) => log(withContext("remove links of released endpoints", error).message))
        .finally(() => {
          isLingering = false;
          if (releasedAt.size > 0) linger();
        });
    }, LINGER_MS);
  };
  const removeLingering = async (): Promise<void> => {
    const latest = performance.now() - LINGER_MS;
    for (const { id, state, hostInterface } of listEndpoints(store)) {
      if (state !== "released" || (releasedAt.get(id) ?? 0) > latest) continue;
      removeLink(netlink, hostInterface);
      forget(id);
      await Bun.sleep(0); // removing takes the kernel some 20 ms: requests are heard in between
    }
  };

  const detach = async (network: NetworkRow, endpoint: EndpointRecord, mode: "later" | "now"): Promise<void> => {
    const { id, hostInterface, address } = endpoint;
    markReleased(store, id);
    releasePorts(ports, id);
    if (mode === "now") {
      removeLink(netlink, hostInterface);
      forget(id);
    } else {
      releasedAt.set(id, performance.now());
      isolate(hostInterface, id);
    }
    try {
      if (endpoint.ports.length > 0 && network.device !== null) await applyPorts(endpoint.ports);
    } finally {
      // Only now may another container have the address: until here the ports led to it.
      const pool = bridges.get(network.id)?.pool;
      if (address !== undefined && pool !== undefined) release(pool, address);
    }
  };

  /** Writes the rules; flows of before they changed are told of it. */
  const applyPorts = async (changed: readonly PortBinding[]): Promise<void> => {
    await filter.apply();
    const udp = changed.filter(({ protocol }) => protocol === "udp").map(({ hostPort }) => hostPort);
    if (udp.length === 0) return;
    try {
      forgetUdpFlows(new Set(udp));
    } catch (error) {
      // A kernel without ctnetlink: the rules are right, only flows that are under way take their time.
      log(withContext("forget UDP flows", error).message);
    }
  };

  /** Nothing passes any more, though the link may still be there for a while. */
  const isolate = (hostInterface: string, id: string): void => {
    try {
      exchange(netlink, [disablePort(hostInterface)]);
      linger();
    } catch (error) {
      if (!isErrno(error, ENODEV)) throw error;
      forget(id);
    }
  };

  const attach = async (network: NetworkRow, request: AttachRequest): Promise<Endpoint> => {
    const sandbox = openSandbox(request.sandbox, context.bootId);
    using namespace = sandbox.namespace;
    const bridge = await ready(network);
    await using undo = new AsyncDisposableStack();

    const id = randomId();
    const address = lease(bridge.pool);
    undo.defer(() => release(bridge.pool, address));
    const bindings = holdPorts(ports, id, request.ports);
    undo.defer(() => releasePorts(ports, id));
    const macAddress = request.macAddress === undefined ? randomMac() : parseMac(request.macAddress);
    const reserved: EndpointRecord = {
      id,
      networkId: network.id,
      containerId: request.containerId,
      name: request.name,
      state: "reserved",
      sandbox: sandbox.record,
      hostInterface: `veth${randomId().slice(0, 7)}`,
      interfaceIndex: 0,
      macAddress: formatMac(macAddress),
      address,
      ports: bindings,
      settings: {},
    };
    reserveEndpoint(store, reserved);
    undo.defer(() => forgetEndpoint(store, id));

    undo.defer(() => removeLink(netlink, reserved.hostInterface));
    const interfaceIndex = makeVeth(netlink, bridge, reserved, macAddress, namespace.number);
    markAttached(store, id, interfaceIndex);
    if (bindings.length > 0) {
      undo.defer(async () => {
        markReleased(store, id);
        // What failed may fail again: the reason that is told is the first one.
        await filter.apply().catch((error: unknown) => log(withContext("take back rules", error).message));
      });
      await applyPorts(bindings);
    }
    undo.move();
    return describe(bridge.network, { ...reserved, state: "attached", interfaceIndex });
  };

  return {
    validate: (_network, request) => {
      for (const port of request.ports) validatePort(port);
      if (request.macAddress !== undefined) parseMac(request.macAddress);
    },
    adopt: (network, endpoint) => {
      if (endpoint.state !== "attached" || endpoint.address === undefined) return;
      let bridge = bridges.get(network.id);
      if (bridge === undefined) {
        bridge = makeBridge(context, network);
        bridges.set(network.id, bridge);
        ready(network).catch((error: unknown) => log(withContext("put back the packet filter", error).message));
      }
      for (const binding of endpoint.ports) {
        try {
          holdBinding(ports, endpoint.id, binding);
        } catch (error) {
          // The rules still lead to the container: say it, and let the traffic flow.
          log(withContext(`hold a published port of ${endpoint.name}`, error).message);
        }
      }
    },
    attach,
    detach,
    describe,
    isWaiting: () => isLingering,
    linkGone: (name) => {
      for (const [id, { device }] of [...bridges]) {
        if (device !== name) continue;
        bridges.delete(id);
        established.delete(id);
        const network = findNetwork(store, id);
        if (network === undefined || !listEndpoints(store).some(({ state }) => state === "attached")) continue;
        log(`${device} was removed under running containers: making it again`);
        ready(network).catch((error: unknown) => log(withContext(`make ${device} again`, error).message));
      }
      if (!VETH_NAME.test(name)) return;
      const endpoint = endpointOfInterface(store, name);
      if (endpoint?.state === "released") forget(endpoint.id);
    },
  };
}

/** Takes over the network's device, or makes one, and gives it its address. */
function makeBridge(context: DriverContext, network: NetworkRow): Bridge {
  const { netlink, store, root, config } = context;
  const links = dump(netlink, listLinks()).flatMap((message) => decodeLink(message) ?? []);
  const alias = `ctr ${root}`.slice(0, MAX_ALIAS);
  const endpoints = listEndpoints(store).filter((endpoint) => endpoint.networkId === network.id);
  const device = chooseDevice(links, network.device, alias);
  const present = links.find((link) => link.name === device);
  const addresses = chooseAddresses(context, network, present, endpoints);
  const mtu = config.mtu;
  const mac = network.mac ?? formatMac(randomMac());
  const row: NetworkRow = { ...network, ...addresses, device, mac, mtu };
  setNetworkDevice(store, row);

  const { subnet, prefix_length: prefixLength, gateway } = addresses;
  const [answer] = exchange(netlink, [
    // With its alias in one exchange: there is no bridge of ours without it.
    ...(present === undefined ? [addBridge(device, parseMac(mac), mtu)] : []),
    setAlias(device, alias),
    routeLoopback(device),
    setLinkUpByName(device),
    getLink(device),
  ]);
  const index = answer === undefined ? undefined : decodeLink(answer)?.index;
  if (index === undefined) throw new CtrError("internal", `the kernel did not describe ${device}`);
  setBridgeAddress(netlink, index, gateway, prefixLength);

  const pool = createPool({ network: subnet, prefixLength }, gateway);
  for (const { address } of endpoints) if (address !== undefined) take(pool, address);
  rejoin(netlink, links, index, endpoints);
  removeStrays(netlink, links, index, new Set(endpoints.map(({ hostInterface }) => hostInterface)));
  return { network: row, index, device, subnet: pool.subnet, gateway, mtu, pool };
}

/** `IFALIASZ` of linux/if.h is 256, its NUL included. */
const MAX_ALIAS = 255;

/** The recorded device if it is ours or free, else the first `ctrN` that is. */
function chooseDevice(links: readonly Link[], recorded: string | null, alias: string): string {
  const isOurs = (name: string) => {
    const link = links.find((candidate) => candidate.name === name);
    return link === undefined || (link.kind === "bridge" && link.alias === alias);
  };
  if (recorded !== null && isOurs(recorded)) return recorded;
  for (let number = 0; ; number++) if (isOurs(`ctr${number}`)) return `ctr${number}`;
}

type Addresses = { readonly subnet: number; readonly prefix_length: number; readonly gateway: number };

/** The recorded subnet while it can stay; else the configured one, else the first that the host does not route. */
function chooseAddresses(
  { netlink, config }: DriverContext,
  network: NetworkRow,
  device: Link | undefined,
  endpoints: readonly EndpointRecord[],
): Addresses {
  const { subnet, prefix_length, gateway } = network;
  const recorded =
    subnet !== null && prefix_length !== null && gateway !== null ? { subnet, prefix_length, gateway } : undefined;
  // Under running containers it cannot change.
  if (recorded !== undefined && endpoints.some(({ address }) => address !== undefined)) return recorded;
  if (config.bip !== undefined) {
    const { address, prefixLength } = config.bip;
    return { subnet: networkOf(address, prefixLength), prefix_length: prefixLength, gateway: address };
  }
  const routes = dump(netlink, listRoutes())
    .flatMap((message) => decodeRoute(message) ?? [])
    .filter(({ index }) => index !== device?.index);
  const isFree = (wanted: Addresses) =>
    !routes.some((route) => overlaps(route, { network: wanted.subnet, prefixLength: wanted.prefix_length }));
  if (recorded !== undefined && isFree(recorded)) return recorded;
  const chosen = chooseSubnet(routes);
  return { subnet: chosen.network, prefix_length: chosen.prefixLength, gateway: chosen.network + 1 };
}

/** The gateway is the bridge's only address. */
function setBridgeAddress(netlink: Netlink, index: number, gateway: number, prefixLength: number): void {
  const others = dump(netlink, listAddresses())
    .flatMap((message) => decodeAddress(message) ?? [])
    .filter((held) => held.index === index && (held.address !== gateway || held.prefixLength !== prefixLength));
  exchange(netlink, [...others.map(deleteAddress), addAddress({ index, address: gateway, prefixLength })]);
}

/** Containers whose bridge was removed under them are put on the new one. */
function rejoin(netlink: Netlink, links: readonly Link[], bridge: number, endpoints: readonly EndpointRecord[]): void {
  for (const { state, hostInterface: name, ports } of endpoints) {
    const link = links.find((candidate) => candidate.name === name);
    if (state !== "attached" || link === undefined || link.master === bridge) continue;
    exchange(netlink, [setMaster(name, bridge), ...(ports.length > 0 ? [setHairpin(name)] : [])]);
  }
}

/** Ports of our bridge that look like ours and are in no row: of a store that was deleted. They hold addresses. */
function removeStrays(netlink: Netlink, links: readonly Link[], bridge: number, known: ReadonlySet<string>): void {
  for (const { name, kind, master } of links) {
    if (master === bridge && kind === "veth" && VETH_NAME.test(name) && !known.has(name)) removeLink(netlink, name);
  }
}

/** Makes the pair; returns the peer's number inside the sandbox. */
function makeVeth(
  netlink: Netlink,
  bridge: Bridge,
  endpoint: EndpointRecord,
  macAddress: Uint8Array,
  namespaceFd: number,
): number {
  const { hostInterface: name, address, ports } = endpoint;
  const peer = { name: INTERFACE, macAddress, namespaceFd };
  const [answer] = exchange(netlink, [
    addVeth({ name, bridge: bridge.index, mtu: bridge.mtu, peer }),
    ...(ports.length > 0 ? [setHairpin(name)] : []),
    ...(address === undefined ? [] : [replaceNeighbour(bridge.index, address, macAddress)]),
    getLink(name),
  ]);
  const index = answer === undefined ? undefined : decodeLink(answer)?.peer;
  if (index === undefined) throw new CtrError("internal", `the kernel did not describe ${name}`);
  return index;
}

/** Removes a link; one that is gone is fine. */
function removeLink(netlink: Netlink, name: string): void {
  try {
    exchange(netlink, [deleteLink(name)]);
  } catch (error) {
    if (!isErrno(error, ENODEV)) throw error;
  }
}

function describe(network: NetworkRow, endpoint: EndpointRecord): Endpoint {
  const { gateway, prefix_length: prefixLength, mtu } = network;
  const { id, containerId, hostInterface, macAddress, ports, address, interfaceIndex } = endpoint;
  if (gateway === null || prefixLength === null || mtu === null || address === undefined) {
    throw new CtrError("internal", `endpoint ${id} has no address`);
  }
  return {
    id,
    containerId,
    networkId: network.id,
    network: network.name,
    interface: {
      name: INTERFACE,
      index: interfaceIndex,
      address: formatIpv4(address),
      prefixLength,
      routes: [{ destination: "0.0.0.0/0", gateway: formatIpv4(gateway) }],
    },
    hostInterface,
    macAddress,
    gateway: formatIpv4(gateway),
    mtu,
    ports,
  };
}
