/** Addresses, routes and neighbours: the requests of rtnetlink(7), IPv4. */
import { EEXIST, ESRCH } from "../errors/error.ts";
import { ipv4Bytes, ipv4FromBytes, type Subnet } from "./ipv4.ts";
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

// linux/rtnetlink.h
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTM_NEWNEIGH = 28;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_NOWHERE = 255;
const RTN_UNICAST = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_TABLE = 15;
// linux/if_addr.h, linux/neighbour.h
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_STALE = 4;
const AF_INET = 2;
const AF_INET6 = 10;
const IFADDRMSG_BYTES = 8;
const RTMSG_BYTES = 12;

export interface Address {
  readonly index: number;
  readonly address: number;
  readonly prefixLength: number;
}

export interface HostRoute extends Subnet {
  readonly index: number;
}

/** Gives a link an address and with it the route to its subnet; one it has already is no failure. */
export function addAddress({ index, address, prefixLength }: Address): Request {
  const broadcast = prefixLength < 31 ? [attribute(IFA_BROADCAST, ipv4Bytes(broadcastOf(address, prefixLength)))] : [];
  return {
    what: `add address to link ${index}`,
    bytes: encodeMessage(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifaddrmsg(index, prefixLength), [
      attribute(IFA_LOCAL, ipv4Bytes(address)),
      attribute(IFA_ADDRESS, ipv4Bytes(address)),
      ...broadcast,
    ]),
    mayFailWith: [EEXIST],
  };
}

/** Takes an address from a link. */
export function deleteAddress({ index, address, prefixLength }: Address): Request {
  return {
    what: `delete address from link ${index}`,
    bytes: encodeMessage(RTM_DELADDR, 0, ifaddrmsg(index, prefixLength), [attribute(IFA_LOCAL, ipv4Bytes(address))]),
  };
}

/** Adds a route over a link; a prefix length of 0 is the default route. Without a gateway the subnet is on the link. */
export function addRoute(index: number, destination: Subnet, gateway: number | undefined): Request {
  const rtmsg = new Uint8Array(RTMSG_BYTES);
  rtmsg.set([
    AF_INET,
    destination.prefixLength,
    0,
    0,
    RT_TABLE_MAIN,
    RTPROT_BOOT,
    gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    RTN_UNICAST,
  ]);
  return {
    what: `add route over link ${index}`,
    bytes: encodeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, rtmsg, [
      ...(destination.prefixLength === 0 ? [] : [attribute(RTA_DST, ipv4Bytes(destination.network))]),
      ...(gateway === undefined ? [] : [attribute(RTA_GATEWAY, ipv4Bytes(gateway))]),
      attribute(RTA_OIF, index),
    ]),
    mayFailWith: [EEXIST],
  };
}

/** The default route over a link, instead of the one there was. */
export function replaceDefaultRoute(index: number, gateway: number): Request {
  const head = new Uint8Array(RTMSG_BYTES);
  head.set([AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST]);
  return {
    what: `set the default route over link ${index}`,
    bytes: encodeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, head, [
      attribute(RTA_GATEWAY, ipv4Bytes(gateway)),
      attribute(RTA_OIF, index),
    ]),
  };
}

/** Takes the default route over a link away; none is fine. */
export function deleteDefaultRoute(index: number): Request {
  const head = new Uint8Array(RTMSG_BYTES);
  head.set([AF_INET, 0, 0, 0, RT_TABLE_MAIN, 0, RT_SCOPE_NOWHERE, 0]);
  return {
    what: `delete the default route over link ${index}`,
    bytes: encodeMessage(RTM_DELROUTE, 0, head, [attribute(RTA_OIF, index)]),
    mayFailWith: [ESRCH],
  };
}

/**
 * Tells the host which MAC an address has now. An address that is given again belongs to another MAC, and the host
 * would talk to the old one until its entry times out. The address is of 4 or 16 bytes.
 */
export function replaceNeighbour(index: number, address: Uint8Array, macAddress: Uint8Array): Request {
  const ndmsg = new Uint8Array(12); // family, pad, ifindex, state, flags, type
  ndmsg[0] = address.length === 4 ? AF_INET : AF_INET6;
  viewOf(ndmsg).setInt32(4, index, true);
  viewOf(ndmsg).setUint16(8, NUD_STALE, true);
  return {
    what: `set neighbour on link ${index}`,
    bytes: encodeMessage(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, ndmsg, [
      attribute(NDA_DST, address),
      attribute(NDA_LLADDR, macAddress),
    ]),
  };
}

/** Asks for all IPv4 addresses: for `dump`. */
export function listAddresses(): Request {
  return { what: "list addresses", bytes: encodeMessage(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg(0, 0), []) };
}

/** The address of an `RTM_NEWADDR`; undefined for other messages. */
export function decodeAddress({ type, payload }: Message): Address | undefined {
  if (type !== RTM_NEWADDR || payload.length < IFADDRMSG_BYTES || payload[0] !== AF_INET) return undefined;
  const local = decodeAttributes(payload, IFADDRMSG_BYTES).get(IFA_LOCAL);
  if (local === undefined) return undefined;
  return { index: viewOf(payload).getUint32(4, true), address: ipv4FromBytes(local), prefixLength: payload[1] ?? 0 };
}

/** Asks for all IPv4 routes: for `dump`. */
export function listRoutes(): Request {
  const rtmsg = new Uint8Array(RTMSG_BYTES);
  rtmsg[0] = AF_INET;
  return { what: "list routes", bytes: encodeMessage(RTM_GETROUTE, NLM_F_DUMP, rtmsg, []) };
}

/** A route of the main table to a subnet over a link; undefined for other messages and for the default route. */
export function decodeRoute({ type, payload }: Message): HostRoute | undefined {
  if (type !== RTM_NEWROUTE || payload.length < RTMSG_BYTES || payload[0] !== AF_INET) return undefined;
  const attributes = decodeAttributes(payload, RTMSG_BYTES);
  const destination = attributes.get(RTA_DST);
  const prefixLength = payload[1] ?? 0;
  const table = numberOf(attributes, RTA_TABLE) ?? payload[4];
  if (table !== RT_TABLE_MAIN || destination === undefined || prefixLength === 0) return undefined;
  return { network: ipv4FromBytes(destination), prefixLength, index: numberOf(attributes, RTA_OIF) ?? 0 };
}

function broadcastOf(address: number, prefixLength: number): number {
  return (address | (0xffffffff >>> prefixLength)) >>> 0;
}

/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
function ifaddrmsg(index: number, prefixLength: number): Uint8Array {
  const bytes = new Uint8Array(IFADDRMSG_BYTES);
  bytes[0] = AF_INET;
  bytes[1] = prefixLength;
  viewOf(bytes).setUint32(4, index, true);
  return bytes;
}
