/** Subnets and addresses of either kind as users write them. */
import { networkOf, parseIpv4 } from "../netlink/ipv4.ts";
import { networkOf6, parseIpv6 } from "../netlink/ipv6.ts";

/** True if an address, or the first one of a range, is in the subnet; undefined if either text is none. */
export function isInSubnet(subnet: string, address: string): boolean | undefined {
  const [base = "", length = ""] = subnet.split("/");
  const [inside = "", own] = address.split("/");
  if (!/^\d{1,3}$/.test(length) || (own !== undefined && !/^\d{1,3}$/.test(own))) return undefined;
  const prefixLength = Number(length);
  if (own !== undefined && Number(own) < prefixLength) return false;
  const four = parseIpv4(base);
  if (four !== undefined) {
    const value = parseIpv4(inside);
    if (prefixLength > 32) return undefined;
    if (value === undefined) return parseIpv6(inside) === undefined ? undefined : false;
    return networkOf(value, prefixLength) === networkOf(four, prefixLength);
  }
  const six = parseIpv6(base);
  if (six === undefined || prefixLength > 128) return undefined;
  const value = parseIpv6(inside);
  if (value === undefined) return parseIpv4(inside) === undefined ? undefined : false;
  return networkOf6(value, prefixLength) === networkOf6(six, prefixLength);
}
