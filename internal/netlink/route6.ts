/** Addresses, routes and neighbours of IPv6: the requests of rtnetlink(7). */
import { EEXIST, ESRCH } from "../errors/error.ts";
import { ipv6Bytes, ipv6FromBytes, type Subnet6 } from "./ipv6.ts";
import {
  attribute,
  decodeAttributes,
  encodeMessage,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  numberOf,
  type Request,
  viewOf,
} from "./message.ts";

// linux/rtnetlink.h, linux/if_addr.h
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RTN_UNICAST = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_TABLE = 15;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
/** No waiting for another that might have the address: the addresses of a network are given by one netd. */
const IFA_F_NODAD = 0x02;
const AF_INET6 = 10;

/** Gives a link an address; one it has already is no failure. */
export function addAddress6(index: number, address: bigint, prefixLength: number): Request {
  const head = new Uint8Array(8); // struct ifaddrmsg: family, prefix length, flags, scope, index
  head.set([AF_INET6, prefixLength, IFA_F_NODAD, 0]);
  viewOf(head).setUint32(4, index, true);
  return {
    what: `add IPv6 address to link ${index}`,
    bytes: encodeMessage(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, head, [
      attribute(IFA_LOCAL, ipv6Bytes(address)),
      attribute(IFA_ADDRESS, ipv6Bytes(address)),
    ]),
    mayFailWith: [EEXIST],
  };
}

/** The default route over a link, instead of the one there was. */
export function replaceDefaultRoute6(index: number, gateway: bigint): Request {
  return {
    what: `set the IPv6 default route over link ${index}`,
    bytes: encodeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, rtmsg(), [
      attribute(RTA_GATEWAY, ipv6Bytes(gateway)),
      attribute(RTA_OIF, index),
    ]),
  };
}

/** Takes the default route over a link away; none is fine. */
export function deleteDefaultRoute6(index: number): Request {
  return {
    what: `delete the IPv6 default route over link ${index}`,
    bytes: encodeMessage(RTM_DELROUTE, 0, rtmsg(), [attribute(RTA_OIF, index)]),
    mayFailWith: [ESRCH],
  };
}

/** Asks for all IPv6 addresses: for `dump`. */
export function listAddresses6(): Request {
  const head = new Uint8Array(8);
  head[0] = AF_INET6;
  return { what: "list IPv6 addresses", bytes: encodeMessage(RTM_GETADDR, NLM_F_DUMP, head, []) };
}

/** The address of an `RTM_NEWADDR`; undefined for other messages. */
export function decodeAddress6({ type, payload }: Message): { index: number; address: bigint } | undefined {
  if (type !== RTM_NEWADDR || payload.length < 8 || payload[0] !== AF_INET6) return undefined;
  const address = decodeAttributes(payload, 8).get(IFA_ADDRESS);
  if (address?.length !== 16) return undefined;
  return { index: viewOf(payload).getUint32(4, true), address: ipv6FromBytes(address) };
}

/** Asks for all IPv6 routes: for `dump`. */
export function listRoutes6(): Request {
  const head = new Uint8Array(12);
  head[0] = AF_INET6;
  return { what: "list IPv6 routes", bytes: encodeMessage(RTM_GETROUTE, NLM_F_DUMP, head, []) };
}

/** A route of the main table to a subnet; undefined for other messages and for the default route. */
export function decodeRoute6({ type, payload }: Message): (Subnet6 & { readonly index: number }) | undefined {
  if (type !== RTM_NEWROUTE || payload.length < 12 || payload[0] !== AF_INET6) return undefined;
  const attributes = decodeAttributes(payload, 12);
  const destination = attributes.get(RTA_DST);
  const prefixLength = payload[1] ?? 0;
  const table = numberOf(attributes, RTA_TABLE) ?? payload[4];
  if (table !== RT_TABLE_MAIN || destination?.length !== 16 || prefixLength === 0) return undefined;
  return { network: ipv6FromBytes(destination), prefixLength, index: numberOf(attributes, RTA_OIF) ?? 0 };
}

/** struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags. */
function rtmsg(): Uint8Array {
  const head = new Uint8Array(12);
  head.set([AF_INET6, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST]);
  return head;
}
