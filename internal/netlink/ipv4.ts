/** IPv4 addresses as numbers: 172.17.0.2 is 0xac110002. */
import { CtrError } from "../errors/error.ts";

/** A subnet: its first address and how many bits name it. */
export interface Subnet {
  readonly network: number;
  readonly prefixLength: number;
}

/** The number of a dotted quad, or undefined if it is none: four decimal parts, no leading zeros (RFC 6943, 3.1.1). */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}

/** As `parseIpv4`; throws CtrError for text that is no address. */
export function ipv4(text: string): number {
  const address = parseIpv4(text);
  if (address === undefined) throw new CtrError("invalid", `invalid IP address: ${text}`);
  return address;
}

export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** The address as it travels: four bytes, highest first. */
export function ipv4Bytes(address: number): Uint8Array {
  return new Uint8Array([address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255]);
}

/** The address of four bytes; 0 for fewer. */
export function ipv4FromBytes(bytes: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  return bytes.length < 4 ? 0 : a * 0x1000000 + (b << 16) + (c << 8) + d;
}

/** `a.b.c.d/n` as the address and its length; throws CtrError for anything else. */
export function parseCidr(text: string): { readonly address: number; readonly prefixLength: number } {
  const slash = text.indexOf("/");
  const address = parseIpv4(slash < 0 ? text : text.slice(0, slash));
  const length = slash < 0 ? "" : text.slice(slash + 1);
  if (address === undefined || !/^[0-9]{1,2}$/.test(length) || Number(length) > 32) {
    throw new CtrError("invalid", `invalid CIDR address: ${text}`);
  }
  return { address, prefixLength: Number(length) };
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatIpv4(subnet.network)}/${subnet.prefixLength}`;
}

/** The first address of the subnet that holds `address`. */
export function networkOf(address: number, prefixLength: number): number {
  return (address & maskOf(prefixLength)) >>> 0;
}

/** How many addresses a subnet has, the first and the last included. */
export function sizeOf(prefixLength: number): number {
  return 2 ** (32 - prefixLength);
}

/** True if any address is in both. */
export function overlaps(a: Subnet, b: Subnet): boolean {
  const prefixLength = Math.min(a.prefixLength, b.prefixLength);
  return networkOf(a.network, prefixLength) === networkOf(b.network, prefixLength);
}

function maskOf(prefixLength: number): number {
  // A shift by 32 is a shift by 0 in JavaScript.
  return prefixLength === 0 ? 0 : (-1 << (32 - prefixLength)) >>> 0;
}
