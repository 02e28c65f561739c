/** IPAM: which addresses of a subnet are leased (a bitmap), and which subnet a network gets. */
import { CtrError } from "../errors/error.ts";
import { formatIpv4, formatSubnet, networkOf, overlaps, type Subnet, sizeOf } from "../netlink/ipv4.ts";
import { formatSubnet6, networkOf6, type Subnet6 } from "../netlink/ipv6.ts";

/** The addresses of one network; a set bit is one that cannot be leased. */
export interface Pool {
  readonly subnet: Subnet;
  readonly bits: Uint32Array;
  /** The part that addresses are given from; all of it unless given. */
  readonly range?: Subnet;
}

/** A pool with its network address, broadcast address and gateway taken. */
export function createPool(subnet: Subnet, gateway: number | undefined, range?: Subnet): Pool {
  const size = sizeOf(subnet.prefixLength);
  const bits = new Uint32Array(Math.ceil(size / 32));
  const pool: Pool = { subnet, bits, ...(range === undefined ? {} : { range }) };
  // What the last word has beyond the subnet is never free.
  for (let offset = size; offset < pool.bits.length * 32; offset++) set(pool, offset);
  for (const address of [subnet.network, subnet.network + size - 1]) take(pool, address);
  if (gateway !== undefined) take(pool, gateway);
  return pool;
}

/** Leases the lowest free address. Throws CtrError when there is none. */
export function lease(pool: Pool): number {
  if (pool.range !== undefined) return leaseInRange(pool, pool.range);
  const word = pool.bits.findIndex((bits) => bits !== 0xffffffff);
  if (word < 0) throw new CtrError("unavailable", `no available IPv4 addresses in ${formatSubnet(pool.subnet)}`);
  const bit = 31 - Math.clz32(~(pool.bits[word] ?? 0) & -~(pool.bits[word] ?? 0));
  set(pool, word * 32 + bit);
  return pool.subnet.network + word * 32 + bit;
}

function leaseInRange(pool: Pool, range: Subnet): number {
  const first = range.network - pool.subnet.network;
  for (let offset = first; offset < first + sizeOf(range.prefixLength); offset++) {
    if (((pool.bits[offset >>> 5] ?? 0) & (1 << (offset & 31))) !== 0) continue;
    set(pool, offset);
    return pool.subnet.network + offset;
  }
  throw new CtrError("unavailable", `no available IPv4 addresses in ${formatSubnet(range)}`);
}

/** Marks an address as leased. Throws CtrError for one outside the subnet. */
export function take(pool: Pool, address: number): void {
  set(pool, offsetOf(pool, address));
}

/** Gives an address back; one that is free already is fine. */
export function release(pool: Pool, address: number): void {
  const offset = offsetOf(pool, address);
  pool.bits[offset >>> 5] = (pool.bits[offset >>> 5] ?? 0) & ~(1 << (offset & 31));
}

export function isLeased(pool: Pool, address: number): boolean {
  const offset = offsetOf(pool, address);
  return ((pool.bits[offset >>> 5] ?? 0) & (1 << (offset & 31))) !== 0;
}

function set(pool: Pool, offset: number): void {
  pool.bits[offset >>> 5] = (pool.bits[offset >>> 5] ?? 0) | (1 << (offset & 31));
}

function offsetOf(pool: Pool, address: number): number {
  if (networkOf(address, pool.subnet.prefixLength) !== pool.subnet.network) {
    throw new CtrError("invalid", `${formatIpv4(address)} is not in ${formatSubnet(pool.subnet)}`);
  }
  return address - pool.subnet.network;
}

/** Docker's order: 172.17–31/16, then 192.168/20 in blocks. */
function* candidates(): Generator<Subnet> {
  for (let second = 17; second <= 31; second++) yield { network: 0xac000000 + second * 0x10000, prefixLength: 16 };
  for (let block = 0; block < 16; block++) yield { network: 0xc0a80000 + block * 0x1000, prefixLength: 20 };
}

/** The first of Docker's subnets that nothing in `used` overlaps. Throws CtrError when all are in use. */
export function chooseSubnet(used: readonly Subnet[]): Subnet {
  for (const candidate of candidates()) {
    if (!used.some((subnet) => overlaps(candidate, subnet))) return candidate;
  }
  throw new CtrError(
    "unavailable",
    "could not find an available, non-overlapping IPv4 address pool: set bip in netd.json",
  );
}

/** The IPv6 addresses of one network: few of many, so a set of those that are leased. */
export interface Pool6 {
  readonly subnet: Subnet6;
  readonly range: Subnet6;
  readonly leased: Set<bigint>;
  /** None below it is free. */
  lowest: bigint;
}

/** A pool with its first address (the routers' anycast, RFC 4291, 2.6.1) and its gateway taken. */
export function createPool6(subnet: Subnet6, gateway: bigint, range: Subnet6 = subnet): Pool6 {
  return { subnet, range, leased: new Set([subnet.network, gateway]), lowest: range.network };
}

/** Leases the lowest free address. Throws CtrError when there is none. */
export function lease6(pool: Pool6): bigint {
  let address = pool.lowest;
  while (pool.leased.has(address)) address++;
  if (networkOf6(address, pool.range.prefixLength) !== pool.range.network)
    throw new CtrError("unavailable", `no available IPv6 addresses in ${formatSubnet6(pool.range)}`);
  pool.leased.add(address);
  pool.lowest = address + 1n;
  return address;
}

/** Gives an address back; one that is free already is fine. */
export function release6(pool: Pool6, address: bigint): void {
  pool.leased.delete(address);
  const isInRange = networkOf6(address, pool.range.prefixLength) === pool.range.network;
  if (isInRange && address < pool.lowest) pool.lowest = address;
}
