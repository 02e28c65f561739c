/** Which networks a container is on, and what netd is asked and has answered for each. */
import type { AttachRequest, Endpoint } from "../ipc/netd.ts";
import type { ContainerRecord, EndpointRecord } from "./record.ts";

/** Their names, as recorded; none where its network namespace is shared, or has loopback only. */
export function networksOf({ hostConfig }: Pick<ContainerRecord, "hostConfig">): readonly string[] {
  const { NetworkMode, Networks } = hostConfig;
  if (NetworkMode === "host" || NetworkMode === "none" || NetworkMode.startsWith("container:")) return [];
  if (Networks !== undefined) return Object.keys(Networks);
  return [NetworkMode === "default" ? "bridge" : NetworkMode];
}

/** What netd is asked for one of them. */
export function attachRequest(
  record: ContainerRecord,
  network: string,
  rest: Pick<AttachRequest, "sandbox" | "ports" | "isLive">,
): AttachRequest {
  const { config, hostConfig } = record;
  const attachment = hostConfig.Networks?.[network] ?? {};
  const { Aliases, IPv4Address, IPv6Address, LinkLocalIPs, MacAddress, GwPriority } = attachment;
  const isFirst = network === networksOf(record)[0];
  const macAddress = MacAddress ?? (isFirst ? config.MacAddress : undefined);
  const hasNames = network !== "bridge";
  return {
    containerId: record.id,
    name: record.name,
    network,
    ...rest,
    ...(macAddress === undefined ? {} : { macAddress }),
    ...(hasNames ? { hostname: config.Hostname, isServedLater: true } : {}),
    ...(Aliases === undefined ? {} : { aliases: Aliases }),
    ...(hasNames && hostConfig.Dns.length > 0 ? { servers: hostConfig.Dns } : {}),
    ...(IPv4Address === undefined ? {} : { ipv4: IPv4Address }),
    ...(IPv6Address === undefined ? {} : { ipv6: IPv6Address }),
    ...(GwPriority === undefined ? {} : { gwPriority: GwPriority }),
    ...(LinkLocalIPs === undefined ? {} : { linkLocal: LinkLocalIPs }),
  };
}

/** What is recorded of netd's answer. */
export function endpointRecord(endpoint: Endpoint): EndpointRecord {
  const { address, prefixLength, address6, prefixLength6 } = endpoint.interface;
  const { gateway6, gwPriority } = endpoint;
  return {
    network: endpoint.network,
    networkId: endpoint.networkId,
    endpointId: endpoint.id,
    macAddress: endpoint.macAddress,
    address: `${address}/${prefixLength}`,
    gateway: endpoint.gateway,
    ports: endpoint.ports,
    ...(address6 === undefined ? {} : { address6: `${address6}/${prefixLength6}` }),
    ...(gateway6 === undefined ? {} : { gateway6 }),
    ...(gwPriority === undefined ? {} : { gwPriority }),
  };
}

/** All endpoints of a container that runs, the one with the ports first. */
export function endpointsOf({ runtime }: Pick<ContainerRecord, "runtime">): readonly EndpointRecord[] {
  return runtime.endpoint === undefined ? [] : [runtime.endpoint, ...(runtime.otherEndpoints ?? [])];
}

/** The names of its networks as lists show them. */
export function networkNames(record: Pick<ContainerRecord, "hostConfig" | "runtime">): readonly string[] {
  const attached = endpointsOf(record).map(({ network }) => network);
  if (attached.length > 0) return attached;
  const recorded = networksOf(record);
  return recorded.length > 0 ? recorded : [record.hostConfig.NetworkMode];
}
