/** What the kernel has otherwise than recorded of a bridge network. */
import type { PortBinding } from "../../ipc/netd.ts";
import { formatIpv4 } from "../../netlink/ipv4.ts";
import { ipv6 } from "../../netlink/ipv6.ts";
import { decodeLink, type Link, listLinks } from "../../netlink/link.ts";
import { decodeAddress, listAddresses } from "../../netlink/route.ts";
import { decodeAddress6, listAddresses6 } from "../../netlink/route6.ts";
import { dump } from "../../netlink/socket.ts";
import { readText } from "../../sys/file.ts";
import { isWithoutIcc } from "../guard.ts";
import type { HeldPorts } from "../ports.ts";
import { type EndpointRecord, listEndpoints, type NetworkRow } from "../store.ts";
import type { DriverContext } from "./driver.ts";
import { USUAL_MTU } from "./endpoint.ts";

/** The host's ends of our containers' links. */
export const VETH_NAME = /^veth[0-9a-f]{7}$/;
/** `IFALIASZ` of linux/if.h is 256, its NUL included. */
const MAX_ALIAS = 255;

/** Who made a bridge: it is written on it. */
export function aliasOf(root: string): string {
  return `ctr ${root}`.slice(0, MAX_ALIAS);
}

/** True if we hold this port for this endpoint. */
export function isHeld({ held }: HeldPorts, endpointId: string, { protocol, hostIp, hostPort }: PortBinding): boolean {
  return held.some(
    ({ owner, binding }) =>
      owner === endpointId &&
      binding.protocol === protocol &&
      binding.hostIp === hostIp &&
      binding.hostPort === hostPort,
  );
}

/** A line for each difference. A default bridge that nobody is on need not be there. */
export function checkBridge(context: DriverContext, network: NetworkRow): string[] {
  const { netlink, store, root } = context;
  const { device } = network;
  const all = listEndpoints(store).filter(({ networkId }) => networkId === network.id);
  const endpoints = all.filter(({ state }) => state === "attached");
  if (device === null || (network.name === "bridge" && endpoints.length === 0)) return [];
  const links = dump(netlink, listLinks()).flatMap((message) => decodeLink(message) ?? []);
  const bridge = links.find(({ name }) => name === device);
  if (bridge === undefined) return [`${device} (network ${network.name}) is missing`];
  if (bridge.kind !== "bridge" || bridge.alias !== aliasOf(root)) return [`${device} is not this engine's bridge`];
  const isIsolated = isWithoutIcc(network) && !context.filter.guard.isThere();
  const ports: BridgePorts = { index: bridge.index, name: device, isIsolated };
  const known = new Set(all.map(({ hostInterface }) => hostInterface));
  return [
    ...(bridge.isUp ? [] : [`${device} is down`]),
    ...(network.mtu === null || bridge.mtu === network.mtu
      ? []
      : [`${device} has MTU ${bridge.mtu}, not ${network.mtu}`]),
    ...addressDifferences(context, network, bridge),
    ...(routesLoopback(device) ? [] : [`${device} does not route 127.0.0.0/8 to published ports`]),
    ...endpoints.flatMap((endpoint) => linkDifferences(endpoint, links, ports)),
    ...endpoints.flatMap(({ id, name, ports: bindings }) =>
      bindings
        .filter((binding) => !isHeld(context.ports, id, binding))
        .map(
          ({ protocol, hostIp, hostPort }) =>
            `port ${hostPort}/${protocol} of ${hostIp} (container ${name}) is not held`,
        ),
    ),
    ...links
      .filter(({ name, kind, master }) => master === bridge.index && kind === "veth" && VETH_NAME.test(name))
      .filter(({ name }) => !known.has(name))
      .map(({ name }) => `${name} on ${device} is no container's`),
  ];
}

function addressDifferences({ netlink }: DriverContext, network: NetworkRow, { index, name }: Link): string[] {
  const { gateway, prefix_length: prefixLength, settings } = network;
  const differences: string[] = [];
  const held = dump(netlink, listAddresses()).flatMap((message) => decodeAddress(message) ?? []);
  const own = held.filter((one) => one.index === index);
  if (gateway !== null && !own.some((one) => one.address === gateway && one.prefixLength === prefixLength))
    differences.push(`${name} lacks its address ${formatIpv4(gateway)}/${prefixLength}`);
  for (const { address, prefixLength: length } of own)
    if (address !== gateway) differences.push(`${name} has the address ${formatIpv4(address)}/${length}`);
  const gateway6 = settings.pools?.find(({ subnet }) => subnet.includes(":"))?.gateway;
  if (gateway6 === undefined) return differences;
  const held6 = dump(netlink, listAddresses6()).flatMap((message) => decodeAddress6(message) ?? []);
  if (!held6.some((one) => one.index === index && one.address === ipv6(gateway6)))
    differences.push(`${name} lacks its address ${gateway6}`);
  return differences;
}

function routesLoopback(device: string): boolean {
  return readText(`/proc/sys/net/ipv4/conf/${device}/route_localnet`).trim() === "1";
}

function linkDifferences(endpoint: EndpointRecord, links: readonly Link[], bridge: BridgePorts): string[] {
  const link = links.find(({ name }) => name === endpoint.hostInterface);
  const lines = link === undefined ? ["is missing"] : portDifferences(endpoint, link, bridge);
  return lines.map((line) => `${endpoint.hostInterface} (container ${endpoint.name}) ${line}`);
}

/** What its ports are compared with. */
export interface BridgePorts {
  readonly index: number;
  readonly name: string;
  /** Its ports are kept apart by the bridge itself. */
  readonly isIsolated: boolean;
}

/** What an endpoint's link has otherwise than recorded. */
export function portDifferences({ ports, settings }: EndpointRecord, link: Link, bridge: BridgePorts): string[] {
  const { mtu = USUAL_MTU } = settings;
  if (link.master !== bridge.index) return [`is not on ${bridge.name}`];
  return [
    ...(link.isUp ? [] : ["is down"]),
    ...(link.mtu === mtu ? [] : [`has MTU ${link.mtu}, not ${mtu}`]),
    ...(link.port?.isHairpin === false && ports.length > 0
      ? ["does not lead its container to its own published ports"]
      : []),
    ...(link.port?.isIsolated === false && bridge.isIsolated ? [`reaches its neighbours on ${bridge.name}`] : []),
    ...(link.port?.isShut === true ? ["is shut"] : []),
  ];
}
