/** The ports of a container as lists and inspect show them. */
import type { BoundPort, ContainerConfig, EndpointRecord, PortBinding } from "./record.ts";

/** What of a container its ports are in. */
export interface WithPorts {
  readonly config: Pick<ContainerConfig, "ExposedPorts">;
  readonly runtime: { readonly endpoint?: Pick<EndpointRecord, "ports"> };
}

/** `NetworkSettings.Ports`: bindings per port, null for one that is only exposed; empty unless it is on a network. */
export function portsOf(record: WithPorts): { readonly [port: string]: readonly PortBinding[] | null } {
  const { endpoint } = record.runtime;
  const ports: { [port: string]: PortBinding[] | null } = {};
  if (endpoint === undefined) return ports;
  for (const port of Object.keys(record.config.ExposedPorts ?? {})) ports[port] = null;
  for (const bound of [...endpoint.ports].sort(byIp)) {
    const key = `${bound.containerPort}/${bound.protocol}`;
    const bindings = ports[key] ?? [];
    bindings.push({ HostIp: bound.hostIp, HostPort: String(bound.hostPort) });
    ports[key] = bindings;
  }
  return ports;
}

/** A port of a container: published when it has a host port. */
interface ShownPort {
  readonly ip: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
}

/** The PORTS column: `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`; runs of equal host and container ports as ranges. */
export function portsText(record: WithPorts): string {
  if (record.runtime.endpoint === undefined) return "";
  const groups = new Map<string, { first: number; last: number }>();
  const shown: string[] = [];
  const mapped: string[] = [];
  for (const port of shownPorts(record)) {
    if (port.ip !== "" && port.hostPort !== port.containerPort) {
      mapped.push(`${joinHostPort(port.ip, port.hostPort)}->${port.containerPort}/${port.protocol}`);
      continue;
    }
    const key = `${port.ip}/${port.protocol}`;
    const group = groups.get(key);
    if (group !== undefined && port.containerPort === group.last + 1) {
      group.last = port.containerPort;
      continue;
    }
    if (group !== undefined) shown.push(groupText(key, group));
    groups.set(key, { first: port.containerPort, last: port.containerPort });
  }
  for (const [key, group] of groups) shown.push(groupText(key, group));
  return [...shown, ...mapped].join(", ");
}

function groupText(key: string, { first, last }: { readonly first: number; readonly last: number }): string {
  const slash = key.lastIndexOf("/");
  const ip = key.slice(0, slash);
  const range = first === last ? String(first) : `${first}-${last}`;
  const host = ip === "" ? "" : `${joinHostPort(ip, range)}->`;
  return `${host}${range}${key.slice(slash)}`;
}

/** `0.0.0.0:80`, `[::]:80`. */
export function joinHostPort(ip: string, port: number | string): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** By container port, then address, host port, protocol. */
function shownPorts(record: WithPorts): readonly ShownPort[] {
  const ports: ShownPort[] = [];
  for (const [key, bindings] of Object.entries(portsOf(record))) {
    const [number = "", protocol = "tcp"] = key.split("/");
    const containerPort = Number(number);
    if (bindings === null) ports.push({ ip: "", hostPort: 0, containerPort, protocol });
    for (const binding of bindings ?? []) {
      ports.push({ ip: binding.HostIp, hostPort: Number(binding.HostPort), containerPort, protocol });
    }
  }
  return ports.sort(
    (a, b) =>
      a.containerPort - b.containerPort ||
      compare(a.ip, b.ip) ||
      a.hostPort - b.hostPort ||
      compare(a.protocol, b.protocol),
  );
}

function byIp(a: BoundPort, b: BoundPort): number {
  return a.containerPort - b.containerPort || compare(a.hostIp, b.hostIp) || a.hostPort - b.hostPort;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
