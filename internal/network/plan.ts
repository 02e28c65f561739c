/** A network that is asked for: whether it can be, which subnets it has, and what is recorded of it. */
import { CtrError } from "../errors/error.ts";
import type { IpamPool, NetworkRequest } from "../ipc/netd.ts";
import { formatIpv4, networkOf, overlaps, parseCidr, parseIpv4, type Subnet, sizeOf } from "../netlink/ipv4.ts";
import {
  formatIpv6,
  formatSubnet6,
  networkOf6,
  overlaps6,
  parseCidr6,
  parseIpv6,
  type Subnet6,
} from "../netlink/ipv6.ts";
import { formatMac, randomMac } from "../netlink/mac.ts";
import { randomId } from "./id.ts";
import { chooseSubnet } from "./ipam.ts";
import type { NetworkRow } from "./store.ts";

/** What the options of the bridge driver are called, Docker's and one of ours; `parent` and the modes are of macvlan and ipvlan. */
export const OPTION = {
  device: "com.docker.network.bridge.name",
  icc: "com.docker.network.bridge.enable_icc",
  masquerade: "com.docker.network.bridge.enable_ip_masquerade",
  mtu: "com.docker.network.driver.mtu",
  hostBinding: "com.docker.network.bridge.host_binding_ipv4",
  antispoof: "ctr.network.bridge.antispoof",
  parent: "parent",
  macvlanMode: "macvlan_mode",
  ipvlanMode: "ipvlan_mode",
} as const;

/** What is there already: other networks, and what the host routes. */
export interface Surroundings {
  readonly networks: readonly NetworkRow[];
  readonly routes: readonly Subnet[];
  readonly routes6: readonly Subnet6[];
  readonly mtu: number;
}

const DEVICE = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/; // IFNAMSIZ of linux/if.h is 16, its NUL included
/** A bitmap of at most 2 MB. */
const MIN_PREFIX = 8;
const MAX_PREFIX = 30;
const MAX_PREFIX6 = 126;

/** The row of the network, with its subnets chosen. Throws CtrError in Docker's words for what cannot be. */
export function planNetwork(request: NetworkRequest, around: Surroundings): NetworkRow {
  const { name, driver, options } = request;
  if (["bridge", "host", "none", "default"].includes(name))
    throw new CtrError("denied", `operation is not permitted on predefined ${name} network`);
  if (around.networks.some((network) => network.name === name)) {
    throw new CtrError("conflict", `network with name ${name} already exists`);
  }
  if (driver === "host" || driver === "null") {
    throw new CtrError("denied", `only one instance of "${driver}" network is allowed`);
  }
  if (!["bridge", "macvlan", "ipvlan"].includes(driver)) {
    throw new CtrError("not-found", `plugin "${driver}" not found`);
  }
  checkOptions(driver, options, around);
  const { four, six } = planPools(request, around);
  const subnet = parseCidr(four.subnet);
  const { id = randomId() } = request;
  return {
    id,
    name,
    driver,
    created_at: Date.now(),
    device: driver === "bridge" ? options[OPTION.device] || `br-${id.slice(0, 12)}` : null,
    subnet: subnet.address,
    prefix_length: subnet.prefixLength,
    gateway: parseIpv4(four.gateway ?? "") ?? null,
    mac: formatMac(randomMac()),
    mtu: Number(options[OPTION.mtu] ?? around.mtu),
    settings: {
      internal: request.isInternal,
      attachable: request.isAttachable,
      ipv6: six !== undefined,
      labels: request.labels,
      options,
      ipamOptions: request.ipamOptions,
      pools: six === undefined ? [four] : [four, six],
      hasUserSubnet: request.pools.some(({ subnet: text }) => !text.includes(":")),
      hasUserSubnet6: request.pools.some(({ subnet: text }) => text.includes(":")),
    },
  };
}

function invalid(message: string): CtrError {
  return new CtrError("invalid", message);
}

function checkOptions(driver: string, options: NetworkRequest["options"], { networks }: Surroundings): void {
  const { [OPTION.device]: device, [OPTION.mtu]: mtu, [OPTION.hostBinding]: hostBinding } = options;
  for (const key of [OPTION.icc, OPTION.masquerade, OPTION.antispoof]) {
    const value = options[key];
    if (value !== undefined && parseBoolean(value) === undefined)
      throw invalid(`invalid value for ${key}: ${JSON.stringify(value)} is neither true nor false`);
  }
  if (mtu !== undefined && (!/^[0-9]{2,5}$/.test(mtu) || Number(mtu) < 68 || Number(mtu) > 65535))
    throw invalid(`invalid value for ${OPTION.mtu}: ${mtu}: it must be from 68 to 65535`);
  if (hostBinding !== undefined && parseIpv4(hostBinding) === undefined)
    throw invalid(`invalid value for ${OPTION.hostBinding}: ${hostBinding} is no IPv4 address`);
  if (driver !== "bridge") {
    if (options[OPTION.antispoof] === undefined) return;
    throw new CtrError("unsupported", `${OPTION.antispoof}: only for networks of the driver bridge`);
  }
  if (device === undefined || device === "") return;
  if (!DEVICE.test(device)) throw invalid(`invalid value for ${OPTION.device}: ${device} is no name of a link`);
  const holder = networks.find((network) => network.device === device);
  if (holder !== undefined)
    throw new CtrError("denied", `networks have same bridge name: ${holder.name} has ${device} already`);
}

/** As Go's strconv.ParseBool, which reads the options in Docker. */
export function parseBoolean(text: string): boolean | undefined {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  return ["0", "f", "F", "FALSE", "false", "False"].includes(text) ? false : undefined;
}

function planPools(
  request: NetworkRequest,
  around: Surroundings,
): { readonly four: IpamPool; readonly six: IpamPool | undefined } {
  const fours = request.pools.filter(({ subnet }) => !subnet.includes(":"));
  const sixes = request.pools.filter(({ subnet }) => subnet.includes(":"));
  if (fours.length > 1 || sixes.length > 1)
    throw invalid(`${request.driver} driver doesn't support multiple subnets of one kind`);
  const others = around.networks.flatMap(({ subnet, prefix_length: prefixLength }) =>
    subnet === null || prefixLength === null ? [] : [{ network: subnet, prefixLength }],
  );
  const others6 = around.networks.flatMap(({ settings }) =>
    (settings.pools ?? []).flatMap((pool) => {
      const parsed = parseCidr6(pool.subnet);
      return parsed === undefined ? [] : [{ network: parsed.address, prefixLength: parsed.prefixLength }];
    }),
  );
  const four = fours[0] === undefined ? choosePool(others, around.routes) : checkPool(fours[0], others);
  // As with Docker an IPv6 subnet alone does not switch IPv6 on.
  if (!request.hasIpv6) return { four, six: undefined };
  const six = sixes[0] === undefined ? choosePool6(others6, around.routes6) : checkPool6(sixes[0], others6);
  return { four, six };
}

function choosePool(others: readonly Subnet[], routes: readonly Subnet[]): IpamPool {
  const { network, prefixLength } = chooseSubnet([...others, ...routes]);
  return { subnet: `${formatIpv4(network)}/${prefixLength}`, gateway: formatIpv4(network + 1) };
}

function checkPool(pool: IpamPool, others: readonly Subnet[]): IpamPool {
  const { address, prefixLength } = parseCidr(pool.subnet);
  const network = networkOf(address, prefixLength);
  const shown = `${formatIpv4(network)}/${prefixLength}`;
  if (prefixLength < MIN_PREFIX || prefixLength > MAX_PREFIX)
    throw invalid(`invalid subnet ${pool.subnet}: its length must be from ${MIN_PREFIX} to ${MAX_PREFIX}`);
  const subnet = { network, prefixLength };
  if (others.some((other) => overlaps(other, subnet)))
    throw new CtrError("denied", "invalid pool request: Pool overlaps with other one on this address space");
  const isInside = (text: string) => {
    const inside = parseIpv4(text);
    return inside !== undefined && networkOf(inside, prefixLength) === network;
  };
  if (pool.ipRange !== undefined) {
    const range = parseCidr(pool.ipRange);
    if (range.prefixLength < prefixLength || !isInside(formatIpv4(range.address)))
      throw invalid(`invalid ip-range ${pool.ipRange}: it is not in ${shown}`);
  }
  for (const [name, text] of Object.entries(pool.auxAddresses ?? {}))
    if (!isInside(text)) throw invalid(`invalid auxiliary address ${name}=${text}: it is not in ${shown}`);
  if (pool.gateway !== undefined) {
    if (!isInside(pool.gateway)) throw invalid(`invalid gateway ${pool.gateway}: it is not in ${shown}`);
    return { ...pool, subnet: shown };
  }
  const range = pool.ipRange === undefined ? subnet : rangeOf(pool.ipRange);
  // The first address that may be given: of the range if there is one.
  const taken = Object.values(pool.auxAddresses ?? {});
  let first = range.network === network ? network + 1 : range.network;
  while (taken.includes(formatIpv4(first))) first++;
  if (first >= network + sizeOf(prefixLength) - 1) throw invalid(`no address is left for a gateway in ${shown}`);
  return { ...pool, subnet: shown, gateway: formatIpv4(first) };
}

export function rangeOf(text: string): Subnet {
  const { address, prefixLength } = parseCidr(text);
  return { network: networkOf(address, prefixLength), prefixLength };
}

/** Unique local addresses (RFC 4193): forty random bits, and no subnet number. */
function choosePool6(others: readonly Subnet6[], routes: readonly Subnet6[]): IpamPool {
  for (;;) {
    const random = crypto.getRandomValues(new Uint8Array(5)).reduce((all, byte) => (all << 8n) | BigInt(byte), 0n);
    const network = (0xfdn << 120n) | (random << 80n);
    const subnet = { network, prefixLength: 64 };
    if ([...others, ...routes].some((other) => overlaps6(other, subnet))) continue;
    return { subnet: formatSubnet6(subnet), gateway: formatIpv6(network + 1n) };
  }
}

function checkPool6(pool: IpamPool, others: readonly Subnet6[]): IpamPool {
  const parsed = parseCidr6(pool.subnet);
  if (parsed === undefined) throw invalid(`invalid CIDR address: ${pool.subnet}`);
  const { address, prefixLength } = parsed;
  const subnet = { network: networkOf6(address, prefixLength), prefixLength };
  const shown = formatSubnet6(subnet);
  if (prefixLength > MAX_PREFIX6) throw invalid(`invalid subnet ${pool.subnet}: no room for a container`);
  if (others.some((other) => overlaps6(other, subnet)))
    throw new CtrError("denied", "invalid pool request: Pool overlaps with other one on this address space");
  const inside = (text: string) => {
    const value = parseIpv6(text);
    return value !== undefined && networkOf6(value, prefixLength) === subnet.network;
  };
  const wrong = [pool.gateway, ...Object.values(pool.auxAddresses ?? {})].find(
    (text) => text !== undefined && !inside(text),
  );
  if (wrong !== undefined) throw invalid(`invalid address ${wrong}: it is not in ${shown}`);
  const range = pool.ipRange === undefined ? undefined : parseCidr6(pool.ipRange);
  if (
    pool.ipRange !== undefined &&
    (range === undefined || range.prefixLength < prefixLength || !inside(formatIpv6(range.address)))
  )
    throw invalid(`invalid ip-range ${pool.ipRange}: it is not in ${shown}`);
  return { ...pool, subnet: shown, gateway: formatIpv6(parseIpv6(pool.gateway ?? "") ?? subnet.network + 1n) };
}
