/** Keeps the bridges' guard as the store says: networks with `antispoof`, and those whose containers are apart. */
import { CtrError, EAFNOSUPPORT, ENOENT, EOPNOTSUPP, EPROTONOSUPPORT, isErrno } from "../errors/error.ts";
import {
  compareGuard,
  establishGuard,
  type GuardedPort,
  guardPort,
  removeGuard,
  unguardPort,
} from "../netlink/bridge-guard.ts";
import { formatIpv4, ipv4Bytes, parseIpv4 } from "../netlink/ipv4.ts";
import { ipv6, ipv6Bytes } from "../netlink/ipv6.ts";
import { parseMac } from "../netlink/mac.ts";
import { NETLINK_NETFILTER, type Netlink, openNetlink } from "../netlink/socket.ts";
import { OPTION, parseBoolean } from "./plan.ts";
import { type EndpointRecord, listEndpoints, listNetworks, type NetworkRow, type Store } from "./store.ts";

export interface Guard {
  /** Brings the kernel to what the store says; no network that needs it: nothing is made. */
  establish(): void;
  /** Before a port is there. */
  add(network: NetworkRow, endpoint: EndpointRecord): void;
  /** After it has gone. */
  remove(hostInterface: string): void;
  /** What the kernel has otherwise, a line each. */
  differences(): string[];
  /** False on a kernel without nf_tables for bridges. */
  isThere(): boolean;
}

/** True if the network's containers cannot send in others' names. */
export function isAntispoof({ settings }: NetworkRow): boolean {
  return parseBoolean(settings.options?.[OPTION.antispoof] ?? "false") === true;
}

/** True if its containers do not reach each other. */
export function isWithoutIcc({ settings }: NetworkRow): boolean {
  return parseBoolean(settings.options?.[OPTION.icc] ?? "true") === false;
}

/** The table is called after the engine's chains. */
export function createGuard(store: Store, prefix: () => string): Guard {
  let opened: Netlink | undefined;
  /** Undefined until it was tried. */
  let isThere: boolean | undefined;
  /** What was written, by the link's name; undefined: there is no table of ours. */
  let written: Map<string, GuardedPort> | undefined;
  const socket = (): Netlink => {
    opened ??= openNetlink(NETLINK_NETFILTER);
    return opened;
  };
  const table = () => `${prefix().toLowerCase()}-guard`;
  const isNeedy = (network: NetworkRow) =>
    network.driver === "bridge" && (isAntispoof(network) || isWithoutIcc(network));
  const ports = (networks: readonly NetworkRow[]): GuardedPort[] =>
    listEndpoints(store).flatMap((endpoint) => {
      const network = networks.find(({ id }) => id === endpoint.networkId);
      return network === undefined ? [] : [portOf(network, endpoint)];
    });

  const establish = (): void => {
    const networks = listNetworks(store).filter(isNeedy);
    if (networks.length === 0) {
      if (written !== undefined) removeGuard(socket(), table());
      written = undefined;
      return;
    }
    const wanted = ports(networks);
    try {
      establishGuard(socket(), table(), wanted);
      written = new Map(wanted.map((port) => [port.name, port]));
      isThere = true;
    } catch (error) {
      if (!isUnknownToKernel(error)) throw error;
      isThere = false;
      // Ports of containers that are to be apart are isolated instead.
      if (!networks.some(isAntispoof)) return;
      throw new CtrError("unsupported", `${OPTION.antispoof}: this kernel has no nf_tables for bridges`, {
        cause: error,
      });
    }
  };
  return {
    establish,
    add: (network, endpoint) => {
      if (written === undefined || !isNeedy(network)) return;
      const port = portOf(network, endpoint);
      guardPort(socket(), table(), port);
      written.set(port.name, port);
    },
    remove: (hostInterface) => {
      const port = written?.get(hostInterface);
      if (port === undefined) return;
      unguardPort(socket(), table(), port);
      written?.delete(hostInterface);
    },
    differences: () => {
      const networks = listNetworks(store).filter(isNeedy);
      if (networks.length === 0 || isThere === false) return [];
      try {
        return compareGuard(socket(), table(), written === undefined ? ports(networks) : [...written.values()]);
      } catch (error) {
        if (!isUnknownToKernel(error)) throw error;
        return []; // what can be done without it, `establish` does
      }
    },
    isThere: () => {
      if (isThere === undefined) establish();
      return isThere !== false;
    },
  };
}

/** No nf_tables, or none for bridges. */
function isUnknownToKernel(error: unknown): boolean {
  return isErrno(error, ENOENT, EOPNOTSUPP, EPROTONOSUPPORT, EAFNOSUPPORT);
}

function portOf(network: NetworkRow, endpoint: EndpointRecord): GuardedPort {
  const macAddress = parseMac(endpoint.macAddress);
  const { address, settings } = endpoint;
  const four = [...(address === undefined ? [] : [formatIpv4(address)]), ...(settings.linkLocal ?? [])];
  const addresses = [
    ...four.flatMap((text) => {
      const parsed = parseIpv4(text);
      return parsed === undefined ? [ipv6Bytes(ipv6(text))] : [ipv4Bytes(parsed)];
    }),
    ...(settings.address6 === undefined ? [] : [ipv6Bytes(ipv6(settings.address6)), linkLocalOf(macAddress)]),
  ];
  return {
    name: endpoint.hostInterface,
    sender: isAntispoof(network) ? { macAddress, addresses } : undefined,
    exit: isWithoutIcc(network) && network.mac !== null ? parseMac(network.mac) : undefined,
  };
}

/** The address that the kernel gives a link itself: fe80::/64 and the MAC as EUI-64 (RFC 4291, appendix A). */
function linkLocalOf(macAddress: Uint8Array): Uint8Array {
  const [first = 0, ...rest] = macAddress;
  return new Uint8Array([
    0xfe,
    0x80,
    0,
    0,
    0,
    0,
    0,
    0,
    first ^ 2,
    rest[0] ?? 0,
    rest[1] ?? 0,
    0xff,
    0xfe,
    ...rest.slice(2),
  ]);
}
