/**
 * Published ports. Each is held by a socket of netd's own that takes nothing in: so no other program can bind it, and
 * the kernel says at once when one already has. What arrives is handed on by the packet filter before any socket.
 */
import { CtrError, EADDRINUSE, errnoText, SyscallError } from "../errors/error.ts";
import type { PortBinding, PortRequest } from "../ipc/netd.ts";
import { ipv4, ipv4Bytes, parseIpv4 } from "../netlink/ipv4.ts";
import type { Fd } from "../sys/fd.ts";
import {
  AF_INET,
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

/** The ports held now; ends with its process, whose sockets they are. */
export interface HeldPorts {
  readonly held: { readonly binding: PortBinding; readonly owner: string; readonly socket: Fd }[];
}

export function noPorts(): HeldPorts {
  return { held: [] };
}

/** Throws CtrError for a request that no host could meet. */
export function validatePort({ hostIp }: PortRequest): void {
  if (hostIp === undefined || hostIp === "") return;
  if (hostIp.includes(":"))
    throw new CtrError("unsupported", `publish on ${hostIp}: IPv6 addresses are not supported yet`);
  if (parseIpv4(hostIp) === undefined) throw new CtrError("invalid", `invalid IP address: ${hostIp}`);
}

/**
 * Holds what was asked for in the name of `owner`, all or nothing. Throws CtrError in Docker's words: `port is already
 * allocated` for a port of ours, `address already in use` for one of another program.
 */
export function holdPorts(ports: HeldPorts, owner: string, requests: readonly PortRequest[]): PortBinding[] {
  try {
    return requests.map((request) => holdRequest(ports, owner, request));
  } catch (error) {
    releasePorts(ports, owner);
    throw error;
  }
}

/** Lets go of all ports of `owner`. */
export function releasePorts(ports: HeldPorts, owner: string): void {
  for (let at = ports.held.length - 1; at >= 0; at--) {
    const entry = ports.held[at];
    if (entry?.owner !== owner) continue;
    entry.socket.close();
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
      holdBinding(ports, owner, binding(port));
      return binding(port);
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
  const [, , high = 0, low = 0] = getsockname(held.number);
  const chosen = binding(high * 256 + low);
  ports.held.push({ binding: chosen, owner, socket: held });
  return chosen;
}

function checkOurs(ports: HeldPorts, wanted: PortBinding): void {
  const isTaken = ports.held.some(
    ({ binding: { protocol, hostPort, hostIp } }) =>
      protocol === wanted.protocol &&
      hostPort === wanted.hostPort &&
      (hostIp === wanted.hostIp || hostIp === ANY_ADDRESS || wanted.hostIp === ANY_ADDRESS),
  );
  if (isTaken) {
    throw new CtrError("conflict", `Bind for ${wanted.hostIp}:${wanted.hostPort} failed: port is already allocated`);
  }
}

function bindSocket({ protocol, hostIp, hostPort }: PortBinding): Fd {
  const isTcp = protocol === "tcp";
  const fd = socket(AF_INET, isTcp ? SOCK_STREAM : SOCK_DGRAM);
  try {
    // TCP: connections of a program that has just ended do not stand in the way; one that listens does (socket(7)).
    if (isTcp) setsockoptInt(fd.number, SOL_SOCKET, SO_REUSEADDR, 1);
    dropIncoming(fd.number);
    bind(fd.number, socketAddress(hostIp, hostPort));
    if (isTcp) listen(fd.number, 1);
    return fd;
  } catch (error) {
    fd.close();
    if (!(error instanceof SyscallError)) throw error;
    const words = `listen ${protocol}4 ${hostIp}:${hostPort}: bind: ${errnoText(error.errno)}`;
    throw new CtrError(error.errno === EADDRINUSE ? "conflict" : error.kind, words, { cause: error });
  }
}

/** struct sockaddr_in: family, port, address, zeros. */
function socketAddress(hostIp: string, port: number): Uint8Array {
  const address = new Uint8Array(16);
  address.set([AF_INET, 0, port >>> 8, port & 255, ...ipv4Bytes(ipv4(hostIp))]);
  return address;
}
