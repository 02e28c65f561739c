/** Addresses and routes of both kinds: what rtnetlink(7) has in common for them. */
import {
  attribute,
  decodeAttributes,
  encodeMessage,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  numberOf,
  type Request,
  viewOf,
} from "./message.ts";

// linux/rtnetlink.h
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
export const RTA_DST = 1;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
const RTA_TABLE = 15;
// linux/if_addr.h
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_BROADCAST = 4;
export const AF_INET = 2;
export const AF_INET6 = 10;
const IFADDRMSG_BYTES = 8;
const RTMSG_BYTES = 12;

type Family = typeof AF_INET | typeof AF_INET6;

/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
export function ifaddrmsg(family: Family, index: number, prefixLength: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(IFADDRMSG_BYTES);
  bytes.set([family, prefixLength, flags]);
  viewOf(bytes).setUint32(4, index, true);
  return bytes;
}

/** struct rtmsg of a route of the main table: family, lengths of destination and source, tos, table, protocol, scope, type. */
export function rtmsg(family: Family, prefixLength: number, scope = RT_SCOPE_UNIVERSE): Uint8Array {
  const bytes = new Uint8Array(RTMSG_BYTES);
  bytes.set([family, prefixLength, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST]);
  return bytes;
}

/** The default route of a kind over a link, instead of the one there was. */
export function replaceDefault(family: Family, index: number, gateway: Uint8Array): Request {
  return {
    what: `set the default route over link ${index}`,
    bytes: encodeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, rtmsg(family, 0), [
      attribute(RTA_GATEWAY, gateway),
      attribute(RTA_OIF, index),
    ]),
  };
}

/** Asks for all addresses of a kind: for `dump`. */
export function listAllAddresses(family: Family): Request {
  return { what: "list addresses", bytes: encodeMessage(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg(family, 0, 0), []) };
}

/** The link, length and attributes of an `RTM_NEWADDR`; undefined for other messages. */
export function decodeAddressOf(family: Family, { type, payload }: Message) {
  if (type !== RTM_NEWADDR || payload.length < IFADDRMSG_BYTES || payload[0] !== family) return undefined;
  return {
    index: viewOf(payload).getUint32(4, true),
    prefixLength: payload[1] ?? 0,
    attributes: decodeAttributes(payload, IFADDRMSG_BYTES),
  };
}

/** Asks for all routes of a kind: for `dump`. */
export function listAllRoutes(family: Family): Request {
  const head = new Uint8Array(RTMSG_BYTES);
  head[0] = family;
  return { what: "list routes", bytes: encodeMessage(RTM_GETROUTE, NLM_F_DUMP, head, []) };
}

/** A route of the main table to a subnet; undefined for other messages and for the default route. */
export function decodeRouteOf(family: Family, { type, payload }: Message) {
  if (type !== RTM_NEWROUTE || payload.length < RTMSG_BYTES || payload[0] !== family) return undefined;
  const attributes = decodeAttributes(payload, RTMSG_BYTES);
  const destination = attributes.get(RTA_DST);
  const prefixLength = payload[1] ?? 0;
  const table = numberOf(attributes, RTA_TABLE) ?? payload[4];
  const isMeant = table === RT_TABLE_MAIN && destination?.length === (family === AF_INET ? 4 : 16) && prefixLength > 0;
  return isMeant ? { destination, prefixLength, index: numberOf(attributes, RTA_OIF) ?? 0 } : undefined;
}
