/**
 * Published ports. Each is held by a socket of netd's own that takes nothing in: so no other program can bind it, and
 * the kernel says at once when one already has. What arrives is handed on by the packet filter before any socket.
 */
import { CtrError, EADDRINUSE, EPROTONOSUPPORT, errnoText, isErrno, SyscallError } from "../errors/error.ts";
import type { PortBinding, PortRequest } from "../ipc/netd.ts";
import { ipv4, ipv4Bytes, parseIpv4 } from "../netlink/ipv4.ts";
import { formatIpv6, ipv6, ipv6Bytes, parseIpv6 } from "../netlink/ipv6.ts";
import type { Fd } from "../sys/fd.ts";
import {
  AF_INET,
  AF_INET6,
  bind,
  dropIncoming,
  getsockname,
  listen,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  setsockoptInt,
  socket,
} from "../sys/socket.ts";

export const ANY_ADDRESS = "0.0.0.0";
export const ANY_ADDRESS6 = "::";
const IPPROTO_IPV6 = 41;
const IPPROTO_SCTP = 132;
const IPV6_V6ONLY = 26;
/** How often another port is tried when the one that the kernel chose is taken for IPv6. */
const MAX_ATTEMPTS = 16;

/** The ports held now; ends with its process, whose sockets they are. */
export interface HeldPorts {
  readonly held: { readonly binding: PortBinding; readonly owner: string; readonly socket: Fd | undefined }[];
}

export function noPorts(): HeldPorts {
  return { held: [] };
}

/** Throws CtrError for a request that no host could meet. */
export function validatePort({ hostIp }: PortRequest, hasIpv6 = false): void {
  if (hostIp === undefined || hostIp === "") return;
  if (hostIp.includes(":")) {
    if (parseIpv6(hostIp) === undefined) throw new CtrError("invalid", `invalid IP address: ${hostIp}`);
    if (hasIpv6) return;
    throw new CtrError(
      "unsupported",
      `publish on [${hostIp}]: the container's network has no IPv6: use one that was made with --ipv6`,
    );
  }
  if (parseIpv4(hostIp) === undefined) throw new CtrError("invalid", `invalid IP address: ${hostIp}`);
}

/**
 * Holds what was asked for in the name of `owner`, all or nothing. Throws CtrError in Docker's words: `port is already
 * allocated` for a port of ours, `address already in use` for one of another program.
 */
export function holdPorts(
  ports: HeldPorts,
  owner: string,
  requests: readonly PortRequest[],
  where: { readonly hostIp?: string | undefined; readonly hasIpv6: boolean } = { hasIpv6: false },
): PortBinding[] {
  try {
    return requests.flatMap((request) => {
      if (request.hostIp !== undefined && request.hostIp !== "")
        return [holdRequest(ports, owner, { ...request, hostIp: formatHostIp(request.hostIp) })];
      if (where.hostIp !== undefined) return [holdRequest(ports, owner, { ...request, hostIp: where.hostIp })];
      return where.hasIpv6 ? holdBoth(ports, owner, request) : [holdRequest(ports, owner, request)];
    });
  } catch (error) {
    releasePorts(ports, owner);
    throw error;
  }
}

function formatHostIp(text: string): string {
  const address = parseIpv6(text);
  return address === undefined ? text : formatIpv6(address);
}

/** The same port for IPv4 and IPv6. */
function holdBoth(ports: HeldPorts, owner: string, request: PortRequest): PortBinding[] {
  const { hostPortLast: last = request.hostPort ?? 0 } = request;
  for (let attempt = 1; ; attempt++) {
    const four = holdRequest(ports, owner, request);
    try {
      const six = { ...four, hostIp: ANY_ADDRESS6 };
      holdBinding(ports, owner, six);
      return [four, six];
    } catch (error) {
      const isTaken = error instanceof CtrError && error.kind === "conflict";
      const next = request.hostPort === undefined ? undefined : four.hostPort + 1;
      const mayGoOn = next === undefined ? attempt < MAX_ATTEMPTS : next <= last;
      if (!isTaken || !mayGoOn) throw error;
      releaseBinding(ports, owner, four);
      if (next !== undefined) return holdBoth(ports, owner, { ...request, hostPort: next });
    }
  }
}

function releaseBinding(ports: HeldPorts, owner: string, binding: PortBinding): void {
  const at = ports.held.findIndex((entry) => entry.owner === owner && entry.binding === binding);
  const [entry] = at < 0 ? [] : ports.held.splice(at, 1);
  entry?.socket?.close();
}

/** Lets go of all ports of `owner`. */
export function releasePorts(ports: HeldPorts, owner: string): void {
  for (let at = ports.held.length - 1; at >= 0; at--) {
    const entry = ports.held[at];
    if (entry?.owner !== owner) continue;
    entry.socket?.close();
    ports.held.splice(at, 1);
  }
}

/** Holds one binding whose port is known. */
export function holdBinding(ports: HeldPorts, owner: string, binding: PortBinding): void {
  checkOurs(ports, binding);
  ports.held.push({ binding, owner, socket: bindSocket(binding) });
}

function holdRequest(ports: HeldPorts, owner: string, request: PortRequest): PortBinding {
  const { containerPort, protocol, hostPort, hostPortLast } = request;
  const hostIp = request.hostIp === undefined || request.hostIp === "" ? ANY_ADDRESS : request.hostIp;
  const binding = (port: number): PortBinding => ({ containerPort, protocol, hostIp, hostPort: port });
  if (hostPort === undefined) return holdEphemeral(ports, owner, binding);
  for (let port = hostPort; ; port++) {
    try {
      const held = binding(port);
      holdBinding(ports, owner, held);
      return held;
    } catch (error) {
      // Of a range any will do; the last one's reason is told.
      const isTaken = error instanceof CtrError && error.kind === "conflict";
      if (!isTaken || port >= (hostPortLast ?? hostPort)) throw error;
    }
  }
}

/** A port of the kernel's choice from its ephemeral range: it knows which are free. */
function holdEphemeral(ports: HeldPorts, owner: string, binding: (port: number) => PortBinding): PortBinding {
  const held = bindSocket(binding(0));
  if (held === undefined) return holdAnyUnbound(ports, owner, binding);
  const [, , high = 0, low = 0] = getsockname(held.number);
  const chosen = binding(high * 256 + low);
  ports.held.push({ binding: chosen, owner, socket: held });
  return chosen;
}

/** Of a protocol that this kernel has no sockets for: the first port of the ephemeral range that is none of ours. */
function holdAnyUnbound(ports: HeldPorts, owner: string, binding: (port: number) => PortBinding): PortBinding {
  for (let port = EPHEMERAL_FIRST; port <= EPHEMERAL_LAST; port++) {
    const chosen = binding(port);
    if (isOurs(ports, chosen)) continue;
    ports.held.push({ binding: chosen, owner, socket: undefined });
    return chosen;
  }
  throw new CtrError("unavailable", "all ports are allocated");
}

// ip-sysctl, ip_local_port_range
const EPHEMERAL_FIRST = 32768;
const EPHEMERAL_LAST = 60999;

function isOurs(ports: HeldPorts, wanted: PortBinding): boolean {
  const any = wanted.hostIp.includes(":") ? ANY_ADDRESS6 : ANY_ADDRESS;
  return ports.held.some(
    ({ binding: { protocol, hostPort, hostIp } }) =>
      protocol === wanted.protocol &&
      hostPort === wanted.hostPort &&
      hostIp.includes(":") === wanted.hostIp.includes(":") &&
      (hostIp === wanted.hostIp || hostIp === any || wanted.hostIp === any),
  );
}

function checkOurs(ports: HeldPorts, wanted: PortBinding): void {
  if (isOurs(ports, wanted)) {
    throw new CtrError("conflict", `Bind for ${wanted.hostIp}:${wanted.hostPort} failed: port is already allocated`);
  }
}

/** Undefined for SCTP on a kernel without it: its packets are handed on all the same. */
function bindSocket({ protocol, hostIp, hostPort }: PortBinding): Fd | undefined {
  const isTcp = protocol === "tcp";
  const family = hostIp.includes(":") ? AF_INET6 : AF_INET;
  let fd: Fd;
  try {
    fd =
      protocol === "sctp"
        ? socket(family, SOCK_STREAM, IPPROTO_SCTP)
        : socket(family, isTcp ? SOCK_STREAM : SOCK_DGRAM);
  } catch (error) {
    if (protocol === "sctp" && isErrno(error, EPROTONOSUPPORT)) return undefined;
    throw error;
  }
  try {
    if (family === AF_INET6) setsockoptInt(fd.number, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    // TCP: connections of a program that has just ended do not stand in the way; one that listens does (socket(7)).
    if (isTcp) setsockoptInt(fd.number, SOL_SOCKET, SO_REUSEADDR, 1);
    if (protocol !== "sctp") dropIncoming(fd.number);
    bind(fd.number, socketAddress(hostIp, hostPort));
    if (isTcp) listen(fd.number, 1);
    return fd;
  } catch (error) {
    fd.close();
    if (!(error instanceof SyscallError)) throw error;
    const where = family === AF_INET6 ? `6 [${hostIp}]` : `4 ${hostIp}`;
    const words = `listen ${protocol}${where}:${hostPort}: bind: ${errnoText(error.errno)}`;
    throw new CtrError(error.errno === EADDRINUSE ? "conflict" : error.kind, words, { cause: error });
  }
}

/** struct sockaddr_in: family, port, address, zeros; struct sockaddr_in6: family, port, flow, address, scope. */
function socketAddress(hostIp: string, port: number): Uint8Array {
  if (hostIp.includes(":")) {
    const address6 = new Uint8Array(28);
    address6.set([AF_INET6, 0, port >>> 8, port & 255]);
    address6.set(ipv6Bytes(ipv6(hostIp)), 8);
    return address6;
  }
  const address = new Uint8Array(16);
  address.set([AF_INET, 0, port >>> 8, port & 255, ...ipv4Bytes(ipv4(hostIp))]);
  return address;
}
