/** `[[ip:][host]:]container[/proto]`, with ranges (go-connections nat.ParsePortSpec), and `--expose`. */
import type { PortRequest } from "../ipc/netd.ts";
import { OptionError } from "./option-error.ts";
import type { ContainerConfig, HostConfig, PortBinding } from "./record.ts";

/** Docker's PortMap: `80/tcp` → bindings. */
export type PortMap = { readonly [port: string]: readonly PortBinding[] };

/** The ports of `-p`, one entry per container port. Throws OptionError. */
export function parsePublish(specs: readonly string[]): PortMap {
  const map: { [port: string]: PortBinding[] } = {};
  for (const spec of specs) {
    for (const [port, binding] of parseSpec(spec)) {
      map[port] ??= [];
      map[port].push(binding);
    }
  }
  return map;
}

function parseSpec(spec: string): [port: string, binding: PortBinding][] {
  const { ip, hostPort, containerPort: withProtocol } = splitSpec(spec);
  const { protocol, port: containerPort } = splitProtocol(withProtocol);
  const address = parseHostIp(ip);
  if (containerPort === "") throw new OptionError(`no port specified: ${spec}<empty>`);
  const inside = parseRange(containerPort, 1);
  if (inside === undefined) throw new OptionError(`invalid containerPort: ${containerPort}`);
  const outside = hostPort === "" ? undefined : parseRange(hostPort, 0);
  if (hostPort !== "" && outside === undefined) throw new OptionError(`invalid hostPort: ${hostPort}`);
  const [first, last] = inside;
  if (outside !== undefined && outside[1] - outside[0] !== last - first && first !== last) {
    throw new OptionError(`invalid ranges specified for container and host Ports: ${containerPort} and ${hostPort}`);
  }
  const found: [string, PortBinding][] = [];
  for (let offset = 0; offset <= last - first; offset++) {
    let host = outside === undefined ? "" : `${outside[0] + offset}`;
    // One port inside, several outside: the first free one of them is taken.
    if (outside !== undefined && first === last && outside[0] !== outside[1]) host += `-${outside[1]}`;
    found.push([`${first + offset}/${protocol}`, { HostIp: address, HostPort: host }]);
  }
  return found;
}

function splitSpec(spec: string): { ip: string; hostPort: string; containerPort: string } {
  const parts = spec.split(":");
  const containerPort = parts.pop() ?? "";
  const hostPort = parts.pop() ?? "";
  return { ip: parts.join(":"), hostPort, containerPort };
}

const PROTOCOLS = ["tcp", "udp", "sctp"];

function splitProtocol(text: string): { protocol: string; port: string } {
  const slash = text.indexOf("/");
  const port = slash < 0 ? text : text.slice(0, slash);
  const protocol = (slash < 0 ? "" : text.slice(slash + 1)).toLowerCase() || "tcp";
  if (!PROTOCOLS.includes(protocol)) throw new OptionError(`invalid proto: ${protocol}`);
  return { protocol, port };
}

function parseHostIp(text: string): string {
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (bare !== "" && !isIpAddress(bare)) throw new OptionError(`invalid IP address: ${bare}`);
  return bare;
}

function parseRange(text: string, least: number): readonly [first: number, last: number] | undefined {
  const [, low, high = low] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  if (low === undefined || high === undefined) return undefined;
  const [first, last] = [Number(low), Number(high)];
  return first < least || last > 65535 || last < first ? undefined : [first, last];
}

/** The ports of `--expose`: `80`, `80/udp`, `80-90`. Throws OptionError. */
export function parseExpose(specs: readonly string[]): string[] {
  const found: string[] = [];
  for (const spec of specs) {
    if (spec.includes(":")) throw new OptionError(`invalid port format for --expose: ${spec}`);
    const { protocol, port } = splitProtocol(spec);
    const range = parseRange(port, 1);
    if (range === undefined) throw new OptionError(`invalid range format for --expose: ${spec}`);
    for (let number = range[0]; number <= range[1]; number++) found.push(`${number}/${protocol}`);
  }
  return found;
}

/** True for an IPv4 or IPv6 address as it is written without brackets, prefix or zone. */
export function isIpAddress(text: string): boolean {
  return isIpv4(text) || isIpv6(text);
}

export function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

/** RFC 4291, section 2.2. */
export function isIpv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2 || !text.includes(":")) return false;
  let groups = 0;
  for (const [index, half] of halves.entries()) {
    if (half === "") continue;
    const parts = half.split(":");
    for (const [at, part] of parts.entries()) {
      const isLast = at === parts.length - 1 && index === halves.length - 1;
      if (isLast && part.includes(".") && isIpv4(part)) groups += 2;
      else if (/^[0-9a-f]{1,4}$/i.test(part)) groups += 1;
      else return false;
    }
  }
  return halves.length === 2 ? groups < 8 : groups === 8;
}

/** What netd is asked for: the published ports, and with `-P` any free one for every other exposed port. */
export function portRequests(
  config: Pick<ContainerConfig, "ExposedPorts">,
  hostConfig: Pick<HostConfig, "PortBindings" | "PublishAllPorts">,
): PortRequest[] {
  const { PortBindings, PublishAllPorts } = hostConfig;
  const requests: PortRequest[] = [];
  for (const [port, list] of Object.entries(PortBindings)) {
    for (const binding of list) requests.push(portRequest(port, binding));
  }
  if (PublishAllPorts) {
    for (const port of Object.keys(config.ExposedPorts ?? {})) {
      if (PortBindings[port] === undefined) requests.push(portRequest(port, { HostIp: "", HostPort: "" }));
    }
  }
  return requests;
}

function portRequest(port: string, binding: PortBinding): PortRequest {
  const [number = "", protocol] = port.split("/");
  const [first, last] = parseRange(binding.HostPort, 1) ?? [];
  return {
    containerPort: Number(number),
    protocol: protocol === "udp" || protocol === "sctp" ? protocol : "tcp",
    ...(binding.HostIp === "" ? {} : { hostIp: binding.HostIp }),
    ...(first === undefined ? {} : { hostPort: first }),
    ...(last === undefined || last === first ? {} : { hostPortLast: last }),
  };
}
