/** A network as `docker network inspect` shows it (Engine API, NetworkInspect). */
import type { Endpoint, NetworkRecord } from "../../internal/ipc/netd.ts";
import type { Inspected } from "./inspect-each.ts";

/** The object; with `isVerbose` also what netd knows of each endpoint: leases, names, ports, interface. */
export function inspectNetwork(network: NetworkRecord, all: readonly Endpoint[], isVerbose: boolean): Inspected {
  const endpoints = all.filter(({ networkId }) => networkId === network.id);
  return {
    Name: network.name,
    Id: network.id,
    Created: new Date(network.createdAtMs).toISOString().replace("Z", "000000Z"),
    Scope: "local",
    Driver: network.driver,
    EnableIPv4: true,
    EnableIPv6: network.hasIpv6,
    IPAM: {
      Driver: "default",
      Options: Object.keys(network.ipamOptions).length === 0 ? null : network.ipamOptions,
      Config: network.pools.map(({ subnet, ipRange, gateway, auxAddresses }) => ({
        Subnet: subnet,
        ...(ipRange === undefined ? {} : { IPRange: ipRange }),
        ...(gateway === undefined ? {} : { Gateway: gateway }),
        ...(auxAddresses === undefined ? {} : { AuxiliaryAddresses: auxAddresses }),
      })),
    },
    Internal: network.isInternal,
    Attachable: network.isAttachable,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: Object.fromEntries(endpoints.map((endpoint) => [endpoint.containerId, containerFields(endpoint)])),
    Options: network.name === "bridge" ? defaultOptions(network) : network.options,
    Labels: network.labels,
    ...(isVerbose ? { Endpoints: endpoints.map(endpointFields) } : {}),
  };
}

function containerFields({ name, id, macAddress, interface: setup }: Endpoint): object {
  const { address, prefixLength, address6, prefixLength6 } = setup;
  return {
    Name: name,
    EndpointID: id,
    MacAddress: macAddress,
    IPv4Address: `${address}/${prefixLength}`,
    IPv6Address: address6 === undefined ? "" : `${address6}/${prefixLength6}`,
  };
}

function endpointFields(endpoint: Endpoint): object {
  const { id, containerId, name, hostInterface, macAddress, interface: setup, gateway, gwPriority = 0 } = endpoint;
  return {
    Container: containerId,
    Name: name,
    EndpointID: id,
    Interface: setup.name,
    HostInterface: hostInterface,
    MacAddress: macAddress,
    Leases: leasesOf(endpoint),
    Gateway: gateway,
    GwPriority: gwPriority,
    DNSNames: dnsNames(endpoint),
    Ports: endpoint.ports.map(({ hostIp, hostPort, containerPort, protocol }) => ({
      HostIp: hostIp,
      HostPort: String(hostPort),
      ContainerPort: `${containerPort}/${protocol}`,
    })),
  };
}

function leasesOf({ interface: { address, address6 } }: Endpoint): readonly string[] {
  return [...(address === "" ? [] : [address]), ...(address6 === undefined ? [] : [address6])];
}

/** What container DNS answers to; the default bridge has no names. Each is also there with the network's name behind it. */
function dnsNames({ network, name, hostname = "", aliases = [], containerId }: Endpoint): readonly string[] {
  if (network === "bridge") return [];
  const names = [...new Set([name, hostname, ...aliases, containerId.slice(0, 12)])].filter((one) => one !== "");
  return names.flatMap((one) => [one, `${one}.${network}`]);
}

function defaultOptions({ device = "", mtu = 1500 }: NetworkRecord): object {
  return {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    "com.docker.network.bridge.name": device,
    "com.docker.network.driver.mtu": String(mtu),
  };
}
