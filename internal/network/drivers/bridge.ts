/**
 * The bridge driver: one Linux bridge per network, one veth pair per endpoint. Nothing here waits for a container, and
 * only the packet filter is somebody else's program.
 */
import { CtrError, ENODEV, isErrno, withContext } from "../../errors/error.ts";
import type { AttachRequest, Endpoint, PortBinding, PortRequest } from "../../ipc/netd.ts";
import { DEFAULT_ROUTE, DEFAULT_ROUTE6 } from "../../netlink/configure.ts";
import { forgetUdpFlows } from "../../netlink/conntrack.ts";
import { formatIpv4, ipv4Bytes, networkOf, overlaps } from "../../netlink/ipv4.ts";
import { ipv6, ipv6Bytes, parseCidr6 } from "../../netlink/ipv6.ts";
import {
  addBridge,
  addVeth,
  decodeLink,
  deleteLink,
  disablePort,
  getLink,
  isolatePort,
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
import { addAddress6 } from "../../netlink/route6.ts";
import { dump, exchange, NETLINK_NETFILTER, type Netlink, openNetlink } from "../../netlink/socket.ts";
import type { NetdConfig } from "../config.ts";
import type { Filter } from "../filter.ts";
import { isWithoutIcc } from "../guard.ts";
import { randomId } from "../id.ts";
import { chooseSubnet } from "../ipam.ts";
import type { Log } from "../log.ts";
import { OPTION } from "../plan.ts";
import { createPools, leaseAddresses, type Pools, releaseAddresses, validateAddresses } from "../pools.ts";
import { type HeldPorts, holdBinding, holdPorts, releasePorts, validatePort } from "../ports.ts";
import { openSandbox } from "../sandbox.ts";
import {
  deleteNetwork,
  type EndpointRecord,
  type EndpointSettings,
  endpointOfInterface,
  endpointsOf,
  findNetwork,
  forgetEndpoint,
  listEndpoints,
  markAttached,
  markReleased,
  type NetworkRow,
  reserveEndpoint,
  type Store,
  setNetworkDevice,
  setPorts,
} from "../store.ts";
import { aliasOf, checkBridge, isHeld, VETH_NAME } from "./check-bridge.ts";
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
  readonly log: Log;
}

/** The name of a container's first interface. */
const INTERFACE = "eth0";
/** The network that is always there. */
const DEFAULT_NETWORK = "bridge";
/** How long a container's namespace may take to end and with it the veth, before the veth is removed by hand. */
const LINGER_MS = 400;

/** A network whose device is there. */
interface Bridge {
  readonly network: NetworkRow;
  readonly index: number;
  readonly device: string;
  readonly mtu: number;
  /** Its ports are kept apart by the bridge itself: without ICC, where the kernel has no guard for it. */
  readonly isIsolated: boolean;
  readonly pools: Pools;
}

export function createBridgeDriver(context: DriverContext): Driver {
  const { store, netlink, filter, ports, log } = context;
  const bridges = new Map<string, Bridge>();
  /** The rules of all bridges are in place, or about to be. */
  let established: Promise<unknown> | undefined;
  /** When endpoints were released, in ms; those of an earlier netd are not in it. */
  const releasedAt = new Map<string, number>();
  let isLingering = false;
  let flows: Netlink | undefined;

  /** The bridge, its device made or taken over, its rules in place. */
  const ready = async (network: NetworkRow): Promise<Bridge> => {
    let bridge = bridges.get(network.id);
    if (bridge === undefined) {
      bridge = makeBridge(context, network);
      bridges.set(network.id, bridge);
      const { device, subnet, prefix_length, gateway } = bridge.network;
      const isAsRecorded = device === network.device && subnet === network.subnet && gateway === network.gateway;
      if (!isAsRecorded || prefix_length !== network.prefix_length) established = undefined;
    }
    if (established === undefined) {
      const isEstablished = filter.establish();
      established = isEstablished;
      // Tried again by the next one who needs it; this one hears why it failed.
      isEstablished.catch(() => {
        if (established === isEstablished) established = undefined;
      });
    }
    await established;
    return bridge;
  };

  /** Nothing of the endpoint is left in the kernel. */
  const forget = (id: string, hostInterface: string): void => {
    releasedAt.delete(id);
    filter.guard.remove(hostInterface);
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
      forget(id, hostInterface);
      await Bun.sleep(0); // removing takes the kernel some 20 ms: requests are heard in between
    }
  };

  const detach = async (network: NetworkRow, endpoint: EndpointRecord, mode: "later" | "now"): Promise<void> => {
    const { id, hostInterface, address } = endpoint;
    markReleased(store, id);
    releasePorts(ports, id);
    if (mode === "now") {
      removeLink(netlink, hostInterface);
      forget(id, hostInterface);
    } else {
      releasedAt.set(id, performance.now());
      isolate(hostInterface, id);
    }
    try {
      if (endpoint.ports.length > 0 && network.device !== null) {
        await filter.unpublish(endpoint);
        forgetFlows(endpoint.ports);
      }
    } finally {
      // Only now may another container have the address: until here the ports led to it.
      const pools = bridges.get(network.id)?.pools;
      if (pools !== undefined) releaseAddresses(pools, address, endpoint.settings.address6);
    }
  };

  /** Flows of before the rules changed are told of it. */
  const forgetFlows = (changed: readonly PortBinding[]): void => {
    const udp = changed.filter(({ protocol }) => protocol === "udp").map(({ hostPort }) => hostPort);
    if (udp.length === 0) return;
    try {
      // Kept open: closing it would wait until the rules that were just taken away are out of use (nft-commits.ts).
      flows ??= openNetlink(NETLINK_NETFILTER);
      forgetUdpFlows(flows, new Set(udp));
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
      forget(id, hostInterface);
    }
  };

  const attach = async (network: NetworkRow, request: AttachRequest): Promise<Endpoint> => {
    const sandbox = openSandbox(request.sandbox, context.bootId);
    using namespace = sandbox.namespace;
    const bridge = await ready(network);
    await using undo = new AsyncDisposableStack();

    const id = randomId();
    const { address, address6 } = leaseAddresses(bridge.pools, request);
    // The pools may be others by then: the bridge may have been made again.
    undo.defer(() => releaseAddresses(bridges.get(network.id)?.pools ?? bridge.pools, address, address6));
    // Nobody gets into a network without a way out.
    const wanted = network.settings.internal === true ? [] : request.ports;
    const hostIp = network.settings.options?.[OPTION.hostBinding];
    const bindings = holdPorts(ports, id, wanted, { hostIp, hasIpv6: address6 !== undefined });
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
      settings: settingsOf(store, request, address6),
    };
    reserveEndpoint(store, reserved);
    undo.defer(() => forgetEndpoint(store, id));

    // Before the port is there: no frame passes that was not looked at.
    undo.defer(() => filter.guard.remove(reserved.hostInterface));
    filter.guard.add(network, reserved);
    undo.defer(() => removeLink(netlink, reserved.hostInterface));
    const interfaceIndex = makeVeth(netlink, bridge, reserved, macAddress, namespace.number);
    markAttached(store, id, interfaceIndex);
    const attached: EndpointRecord = { ...reserved, state: "attached", interfaceIndex };
    if (bindings.length > 0) {
      undo.defer(async () => {
        markReleased(store, id);
        // What failed may fail again: the reason that is told is the first one.
        await filter.unpublish(attached).catch((error: unknown) => log(withContext("take back rules", error).message));
      });
      await filter.publish(attached);
      forgetFlows(bindings);
    }
    undo.move();
    return describe(bridge.network, attached);
  };

  const publish = async (
    network: NetworkRow,
    endpoint: EndpointRecord,
    wanted: readonly PortRequest[],
  ): Promise<void> => {
    const { id, hostInterface, settings } = endpoint;
    await using undo = new AsyncDisposableStack();
    const hasIpv6 = settings.address6 !== undefined;
    // What the other network could lead to an IPv6 address, this one may not.
    const possible = wanted.filter(({ hostIp = "" }) => hasIpv6 || !hostIp.includes(":"));
    const hostIp = network.settings.options?.[OPTION.hostBinding];
    const bindings = holdPorts(ports, id, possible, { hostIp, hasIpv6 });
    undo.defer(() => releasePorts(ports, id));
    setPorts(store, id, bindings);
    undo.defer(() => setPorts(store, id, []));
    exchange(netlink, [setHairpin(hostInterface)]);
    await filter.publish({ ...endpoint, ports: bindings });
    forgetFlows(bindings);
    undo.move();
  };

  const unpublish = async (_network: NetworkRow, endpoint: EndpointRecord): Promise<void> => {
    setPorts(store, endpoint.id, []);
    releasePorts(ports, endpoint.id);
    await filter.unpublish(endpoint);
    forgetFlows(endpoint.ports);
  };

  /** The published ports of an endpoint that was there before us. */
  const holdAll = ({ id, name, ports: bindings }: EndpointRecord): void => {
    for (const binding of bindings) {
      try {
        if (!isHeld(ports, id, binding)) holdBinding(ports, id, binding);
      } catch (error) {
        // The rules still lead to the container: say it, and let the traffic flow.
        log(withContext(`hold a published port of ${name}`, error).message);
      }
    }
  };

  return {
    publish,
    unpublish,
    create: async (network) => {
      established = undefined;
      await ready(network);
    },
    restore: (network) => {
      ready(network).catch((error: unknown) => log(withContext(`restore network ${network.name}`, error).message));
    },
    check: (network) => checkBridge(context, network),
    repair: async (network) => {
      if (checkBridge(context, network).length === 0) return;
      bridges.delete(network.id);
      await ready(network);
      for (const endpoint of listEndpoints(store)) if (endpoint.networkId === network.id) holdAll(endpoint);
    },
    remove: async (network) => {
      bridges.delete(network.id);
      if (network.device !== null) removeOwnBridge(context, network.device);
      deleteNetwork(store, network.id);
      await filter.establish();
    },
    validate: (network, request) => {
      for (const port of request.ports) validatePort(port, network.settings.ipv6 === true);
      validateAddresses(network, request);
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
      holdAll(endpoint);
    },
    attach,
    detach,
    describe,
    isWaiting: () => isLingering,
    linkGone: (name) => {
      for (const [id, { device }] of [...bridges]) {
        if (device !== name) continue;
        bridges.delete(id);
        established = undefined;
        const network = findNetwork(store, id);
        if (network === undefined || !listEndpoints(store).some(({ state }) => state === "attached")) continue;
        log(`${device} was removed under running containers: making it again`);
        ready(network).catch((error: unknown) => log(withContext(`make ${device} again`, error).message));
      }
      if (!VETH_NAME.test(name)) return;
      const endpoint = endpointOfInterface(store, name);
      if (endpoint?.state === "released") forget(endpoint.id, name);
    },
  };
}

/** Takes over the network's device, or makes one, and gives it its address. */
function makeBridge(context: DriverContext, network: NetworkRow): Bridge {
  const { netlink, store, root, config } = context;
  const links = dump(netlink, listLinks()).flatMap((message) => decodeLink(message) ?? []);
  const alias = aliasOf(root);
  const endpoints = listEndpoints(store).filter((endpoint) => endpoint.networkId === network.id);
  const isDefault = network.name === DEFAULT_NETWORK;
  const device = isDefault ? chooseDevice(links, network.device, alias) : deviceOf(links, network, alias);
  const present = links.find((link) => link.name === device);
  const addresses = isDefault ? chooseAddresses(context, network, present, endpoints) : addressesOf(network);
  const mtu = isDefault ? config.mtu : (network.mtu ?? config.mtu);
  const mac = network.mac ?? formatMac(randomMac());
  const row: NetworkRow = { ...network, ...addresses, device, mac, mtu };
  setNetworkDevice(store, row);

  const { prefix_length: prefixLength, gateway } = addresses;
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
  const six = network.settings.pools?.find(({ subnet }) => subnet.includes(":"));
  if (six !== undefined)
    exchange(netlink, [addAddress6(index, ipv6(six.gateway ?? ""), parseCidr6(six.subnet)?.prefixLength ?? 64)]);
  const isIsolated = isWithoutIcc(network) && !context.filter.guard.isThere();
  rejoin(netlink, links, { index, isIsolated }, endpoints);
  removeStrays(netlink, links, index, new Set(endpoints.map(({ hostInterface }) => hostInterface)));
  return { network: row, index, device, mtu, isIsolated, pools: createPools(row, endpoints) };
}

/** The device of a user's network. Throws CtrError when its name is another link's. */
function deviceOf(links: readonly Link[], { device }: NetworkRow, alias: string): string {
  const name = device ?? "";
  const link = links.find((candidate) => candidate.name === name);
  if (link === undefined || (link.kind === "bridge" && link.alias === alias)) return name;
  throw new CtrError("conflict", `a link ${name} exists and is not this engine's`);
}

function addressesOf({ name, subnet, prefix_length, gateway }: NetworkRow): Addresses {
  if (subnet === null || prefix_length === null || gateway === null)
    throw new CtrError("internal", `network ${name} has no subnet`);
  return { subnet, prefix_length, gateway };
}

/** Removes the bridge if it is this engine's; one that is gone is fine. */
function removeOwnBridge({ netlink, root }: DriverContext, device: string): void {
  const link = dump(netlink, listLinks())
    .flatMap((message) => decodeLink(message) ?? [])
    .find(({ name }) => name === device);
  if (link?.kind === "bridge" && link.alias === aliasOf(root)) removeLink(netlink, device);
}

/** What is recorded of an endpoint besides its columns; nothing for the usual one. */
export function settingsOf(store: Store, request: AttachRequest, address6: string | undefined): EndpointSettings {
  const { hostname, aliases = [], servers = [], gwPriority = 0, linkLocal = [] } = request;
  const interfaceName = freeInterface(store, request.containerId);
  return {
    ...(interfaceName === INTERFACE ? {} : { interfaceName }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(aliases.length === 0 ? {} : { aliases }),
    ...(servers.length === 0 ? {} : { servers }),
    ...(address6 === undefined ? {} : { address6 }),
    ...(gwPriority === 0 ? {} : { gwPriority }),
    ...(linkLocal.length === 0 ? {} : { linkLocal }),
  };
}

/** The first of eth0, eth1 … that none of the container's endpoints has. */
export function freeInterface(store: Store, containerId: string): string {
  const taken = endpointsOf(store, containerId)
    .filter(({ state }) => state !== "released")
    .map(({ settings }) => settings.interfaceName ?? INTERFACE);
  for (let number = 0; ; number++) if (!taken.includes(`eth${number}`)) return `eth${number}`;
}

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
function rejoin(
  netlink: Netlink,
  links: readonly Link[],
  { index, isIsolated }: Pick<Bridge, "index" | "isIsolated">,
  endpoints: readonly EndpointRecord[],
): void {
  for (const { state, hostInterface: name, ports } of endpoints) {
    const link = links.find((candidate) => candidate.name === name);
    if (state !== "attached" || link === undefined || (link.master === index && link.isUp)) continue;
    exchange(netlink, [
      setLinkUpByName(name),
      setMaster(name, index),
      ...(ports.length > 0 ? [setHairpin(name)] : []),
      ...(isIsolated ? [isolatePort(name)] : []),
    ]);
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
  const { hostInterface: name, address, ports, settings } = endpoint;
  const { address6, interfaceName = INTERFACE } = settings;
  const peer = { name: interfaceName, macAddress, namespaceFd };
  const [answer] = exchange(netlink, [
    addVeth({ name, bridge: bridge.index, mtu: bridge.mtu, peer }),
    ...(ports.length > 0 ? [setHairpin(name)] : []),
    ...(bridge.isIsolated ? [isolatePort(name)] : []),
    ...(address === undefined ? [] : [replaceNeighbour(bridge.index, ipv4Bytes(address), macAddress)]),
    ...(address6 === undefined ? [] : [replaceNeighbour(bridge.index, ipv6Bytes(ipv6(address6)), macAddress)]),
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

export function describe(network: NetworkRow, endpoint: EndpointRecord): Endpoint {
  const { gateway, prefix_length: prefixLength, mtu, settings: made } = network;
  const { id, containerId, hostInterface, macAddress, ports, address, interfaceIndex, settings } = endpoint;
  const { address6, gwPriority, aliases, hostname, interfaceName = INTERFACE, linkLocal = [] } = settings;
  const six = address6 === undefined ? undefined : made.pools?.find(({ subnet }) => subnet.includes(":"));
  const isInternal = made.internal === true;
  if (gateway === null || prefixLength === null || mtu === null || address === undefined) {
    throw new CtrError("internal", `endpoint ${id} has no address`);
  }
  return {
    id,
    containerId,
    networkId: network.id,
    network: network.name,
    name: endpoint.name,
    interface: {
      name: interfaceName,
      index: interfaceIndex,
      address: formatIpv4(address),
      prefixLength,
      ...(linkLocal.length === 0 ? {} : { linkLocal }),
      routes: isInternal
        ? []
        : [
            { destination: DEFAULT_ROUTE, gateway: formatIpv4(gateway) },
            ...(six?.gateway === undefined ? [] : [{ destination: DEFAULT_ROUTE6, gateway: six.gateway }]),
          ],
      ...(address6 === undefined ? {} : { address6, prefixLength6: parseCidr6(six?.subnet ?? "")?.prefixLength ?? 64 }),
    },
    hostInterface,
    macAddress,
    gateway: isInternal ? "" : formatIpv4(gateway),
    ...(six?.gateway === undefined || isInternal ? {} : { gateway6: six.gateway }),
    ...(gwPriority === undefined ? {} : { gwPriority }),
    ...(aliases === undefined ? {} : { aliases }),
    ...(hostname === undefined ? {} : { hostname }),
    mtu,
    ports,
  };
}
