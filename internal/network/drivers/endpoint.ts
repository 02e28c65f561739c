/** What is recorded of an endpoint, and how its container sees it. */
import { CtrError } from "../../errors/error.ts";
import type { AttachRequest, Endpoint } from "../../ipc/netd.ts";
import { DEFAULT_ROUTE, DEFAULT_ROUTE6 } from "../../netlink/configure.ts";
import { formatIpv4 } from "../../netlink/ipv4.ts";
import { parseCidr6 } from "../../netlink/ipv6.ts";
import { type EndpointRecord, type EndpointSettings, endpointsOf, type NetworkRow, type Store } from "../store.ts";

/** The name of a container's first interface. */
export const INTERFACE = "eth0";
/** Of an endpoint about which nothing is recorded. */
export const USUAL_MTU = 1500;

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

/** An attached endpoint of a network with addresses. */
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
