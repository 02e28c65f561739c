/** A bridge and its ports in the kernel: made, taken over, put right, removed. */
import { CtrError, ENODEV, isErrno } from "../../errors/error.ts";
import { ipv4Bytes, networkOf, overlaps } from "../../netlink/ipv4.ts";
import { ipv6, ipv6Bytes, parseCidr6 } from "../../netlink/ipv6.ts";
import {
  addBridge,
  addVeth,
  decodeLink,
  deleteLink,
  getLink,
  isolatePort,
  type Link,
  listLinks,
  openPort,
  routeLoopback,
  setAlias,
  setHairpin,
  setLinkUpByName,
  setMaster,
  setMtu,
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
import { dump, exchange, type Netlink } from "../../netlink/socket.ts";
import { isWithoutIcc } from "../guard.ts";
import { chooseSubnet } from "../ipam.ts";
import { createPools, type Pools } from "../pools.ts";
import { type EndpointRecord, listEndpoints, type NetworkRow, setNetworkDevice } from "../store.ts";
import { aliasOf, type BridgePorts, portDifferences, VETH_NAME } from "./check-bridge.ts";
import type { DriverContext } from "./driver.ts";
import { INTERFACE, USUAL_MTU } from "./endpoint.ts";

/** The network that is always there. */
const DEFAULT_NETWORK = "bridge";

/** A network whose device is there. */
export interface Bridge {
  readonly network: NetworkRow;
  readonly index: number;
  readonly device: string;
  readonly mtu: number;
  /** Its ports are kept apart by the bridge itself: without ICC, where the kernel has no guard for it. */
  readonly isIsolated: boolean;
  readonly pools: Pools;
}

/** Takes over the network's device, or makes one, and gives it its address. */
export function makeBridge(context: DriverContext, network: NetworkRow): Bridge {
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
    ...(present === undefined ? [addBridge(device, parseMac(mac))] : []),
    setAlias(device, alias),
    setMtu(device, mtu),
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
  rejoin(netlink, links, { index, name: device, isIsolated }, endpoints);
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
export function removeOwnBridge({ netlink, root }: DriverContext, device: string): void {
  const link = dump(netlink, listLinks())
    .flatMap((message) => decodeLink(message) ?? [])
    .find(({ name }) => name === device);
  if (link?.kind === "bridge" && link.alias === aliasOf(root)) removeLink(netlink, device);
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

/** Containers whose bridge was removed under them are put on the new one, and ports that somebody changed are put right. */
function rejoin(
  netlink: Netlink,
  links: readonly Link[],
  bridge: BridgePorts,
  endpoints: readonly EndpointRecord[],
): void {
  for (const endpoint of endpoints) {
    const { state, hostInterface: name, ports, settings } = endpoint;
    const link = links.find((candidate) => candidate.name === name);
    if (state !== "attached" || link === undefined || portDifferences(endpoint, link, bridge).length === 0) continue;
    exchange(netlink, [
      setMtu(name, settings.mtu ?? USUAL_MTU),
      setLinkUpByName(name),
      setMaster(name, bridge.index),
      ...(ports.length > 0 ? [setHairpin(name)] : []),
      ...(bridge.isIsolated ? [isolatePort(name)] : []),
      ...(link.port?.isShut === true ? [openPort(name)] : []),
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
export function makeVeth(
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
export function removeLink(netlink: Netlink, name: string): void {
  try {
    exchange(netlink, [deleteLink(name)]);
  } catch (error) {
    if (!isErrno(error, ENODEV)) throw error;
  }
}
