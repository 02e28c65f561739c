/** The addresses of one network: those that its endpoints have, and giving and taking them back. */
import { CtrError } from "../errors/error.ts";
import type { AttachRequest } from "../ipc/netd.ts";
import { formatIpv4, networkOf, parseIpv4 } from "../netlink/ipv4.ts";
import { formatIpv6, ipv6, networkOf6, parseCidr6, parseIpv6 } from "../netlink/ipv6.ts";
import {
  createPool,
  createPool6,
  isLeased,
  lease,
  lease6,
  type Pool,
  type Pool6,
  release,
  release6,
  take,
} from "./ipam.ts";
import { rangeOf } from "./plan.ts";
import type { EndpointRecord, NetworkRow } from "./store.ts";

export interface Addresses {
  readonly address: number;
  readonly address6: string | undefined;
}

export interface Pools {
  readonly pool: Pool;
  readonly pool6: Pool6 | undefined;
}

/** The pools of a network whose subnet is known, with what its endpoints have taken. */
export function createPools(network: NetworkRow, endpoints: readonly EndpointRecord[]): Pools {
  const { subnet, prefix_length: prefixLength, gateway, settings } = network;
  if (subnet === null || prefixLength === null) throw new CtrError("internal", `network ${network.name} has no subnet`);
  const four = settings.pools?.find((pool) => !pool.subnet.includes(":"));
  const six = settings.pools?.find((pool) => pool.subnet.includes(":"));
  const range = four?.ipRange === undefined ? undefined : rangeOf(four.ipRange);
  const pool = createPool({ network: subnet, prefixLength }, gateway ?? undefined, range);
  for (const text of Object.values(four?.auxAddresses ?? {})) take(pool, parseIpv4(text) ?? subnet);
  for (const { address } of endpoints) if (address !== undefined) take(pool, address);
  if (six === undefined) return { pool, pool6: undefined };

  const parsed = parseCidr6(six.subnet);
  if (parsed === undefined) throw new CtrError("internal", `network ${network.name} has no IPv6 subnet`);
  const wanted = six.ipRange === undefined ? undefined : parseCidr6(six.ipRange);
  const pool6 = createPool6(
    { network: parsed.address, prefixLength: parsed.prefixLength },
    ipv6(six.gateway ?? ""),
    wanted && { network: networkOf6(wanted.address, wanted.prefixLength), prefixLength: wanted.prefixLength },
  );
  const taken = [
    ...Object.values(six.auxAddresses ?? {}),
    ...endpoints.flatMap(({ settings: { address6 } }) => address6 ?? []),
  ];
  for (const text of taken) pool6.leased.add(ipv6(text));
  return { pool, pool6 };
}

/** Throws CtrError for an address that the network cannot give to anybody. */
export function validateAddresses({ settings }: NetworkRow, { ipv4, ipv6: six, linkLocal = [] }: AttachRequest): void {
  const wrong = linkLocal.find((text) => parseIpv4(text) === undefined && parseIpv6(text) === undefined);
  if (wrong !== undefined) throw new CtrError("invalid", `invalid link-local IP address: ${wrong}`);
  const isRefused =
    (ipv4 !== undefined && settings.hasUserSubnet !== true) || (six !== undefined && settings.hasUserSubnet6 !== true);
  if (!isRefused) return;
  throw new CtrError(
    "invalid",
    settings.pools === undefined
      ? "invalid config for network: user specified IP address is supported on user defined networks only"
      : "invalid config for network: user specified IP address is supported only when connecting to networks with user configured subnets",
  );
}

/** Leases what was asked for, or the lowest free; all or nothing. */
export function leaseAddresses({ pool, pool6 }: Pools, request: Pick<AttachRequest, "ipv4" | "ipv6">): Addresses {
  const address = request.ipv4 === undefined ? lease(pool) : leaseThis(pool, request.ipv4);
  try {
    if (pool6 === undefined) return { address, address6: undefined };
    return {
      address,
      address6: formatIpv6(request.ipv6 === undefined ? lease6(pool6) : leaseThis6(pool6, request.ipv6)),
    };
  } catch (error) {
    release(pool, address);
    throw error;
  }
}

/** Gives them back; what is free already is fine. */
export function releaseAddresses({ pool, pool6 }: Pools, address: number | undefined, address6?: string): void {
  if (address !== undefined) release(pool, address);
  if (pool6 !== undefined && address6 !== undefined) release6(pool6, ipv6(address6));
}

function leaseThis(pool: Pool, text: string): number {
  const address = parseIpv4(text);
  if (address === undefined) throw new CtrError("invalid", `invalid IPv4 address: ${text}`);
  if (networkOf(address, pool.subnet.prefixLength) !== pool.subnet.network) throw notInside(formatIpv4(address));
  if (isLeased(pool, address)) throw new CtrError("conflict", "Address already in use");
  take(pool, address);
  return address;
}

function leaseThis6(pool: Pool6, text: string): bigint {
  const address = parseIpv6(text);
  if (address === undefined) throw new CtrError("invalid", `invalid IPv6 address: ${text}`);
  if (networkOf6(address, pool.subnet.prefixLength) !== pool.subnet.network) throw notInside(formatIpv6(address));
  if (pool.leased.has(address)) throw new CtrError("conflict", "Address already in use");
  pool.leased.add(address);
  return address;
}

function notInside(text: string): CtrError {
  return new CtrError("invalid", `invalid address ${text}: It does not belong to any of this network's subnets`);
}
