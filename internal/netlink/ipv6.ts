/** IPv6 addresses as numbers of 128 bits, written as RFC 5952 says. */
import { CtrError } from "../errors/error.ts";

/** A subnet: its first address and how many bits name it. */
export interface Subnet6 {
  readonly network: bigint;
  readonly prefixLength: number;
}

const BITS = 128n;
const GROUPS = 8;

/** The number of an address, or undefined if the text is none (RFC 4291, section 2.2). */
export function parseIpv6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [front = "", back = ""] = halves;
  const head = front === "" ? [] : groupsOf(front);
  const tail = back === "" ? [] : groupsOf(back);
  if (head === undefined || tail === undefined) return undefined;
  const missing = GROUPS - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  let address = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail])
    address = (address << 16n) | BigInt(group);
  return address;
}

/** The numbers between the colons; an IPv4 address at the end is two. */
function groupsOf(text: string): number[] | undefined {
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    const four = index === parts.length - 1 ? /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(part) : null;
    if (four !== null) {
      const [a = 256, b = 256, c = 256, d = 256] = four.slice(1).map(Number);
      if (Math.max(a, b, c, d) > 255) return undefined;
      groups.push(a * 256 + b, c * 256 + d);
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** As `parseIpv6`; throws CtrError for text that is no address. */
export function ipv6(text: string): bigint {
  const address = parseIpv6(text);
  if (address === undefined) throw new CtrError("invalid", `invalid IP address: ${text}`);
  return address;
}

/** Lower case, the longest run of zeros (of two at least, the first of equals) as `::`. */
export function formatIpv6(address: bigint): string {
  const groups = Array.from({ length: GROUPS }, (_, at) => Number((address >> BigInt(16 * (7 - at))) & 0xffffn));
  let best = { at: 0, length: 1 };
  for (let at = 0; at < GROUPS; at++) {
    let length = 0;
    while (groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (best.length < 2) return text(groups);
  return `${text(groups.slice(0, best.at))}::${text(groups.slice(best.at + best.length))}`;
}

/** The address as it travels: sixteen bytes, highest first. */
export function ipv6Bytes(address: bigint): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, at) => Number((address >> BigInt(8 * (15 - at))) & 0xffn));
}

export function ipv6FromBytes(bytes: Uint8Array): bigint {
  return bytes.reduce((address, byte) => (address << 8n) | BigInt(byte), 0n);
}

/** `fd00::/64` as the address and its length; undefined for anything else. */
export function parseCidr6(text: string): { readonly address: bigint; readonly prefixLength: number } | undefined {
  const [, addressText = "", length = ""] = /^([^/]*)\/(\d{1,3})$/.exec(text) ?? [];
  const address = parseIpv6(addressText);
  if (address === undefined || Number(length) > 128) return undefined;
  return { address, prefixLength: Number(length) };
}

export function formatSubnet6({ network, prefixLength }: Subnet6): string {
  return `${formatIpv6(network)}/${prefixLength}`;
}

/** The first address of the subnet that holds `address`. */
export function networkOf6(address: bigint, prefixLength: number): bigint {
  const rest = BITS - BigInt(prefixLength);
  return (address >> rest) << rest;
}

/** True if any address is in both. */
export function overlaps6(a: Subnet6, b: Subnet6): boolean {
  const prefixLength = Math.min(a.prefixLength, b.prefixLength);
  return networkOf6(a.network, prefixLength) === networkOf6(b.network, prefixLength);
}
