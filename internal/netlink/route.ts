/** Addresses, routes and neighbours: the requests of rtnetlink(7), IPv4. */
import { EEXIST } from "../errors/error.ts";
import { ipv4Bytes, ipv4FromBytes, type Subnet } from "./ipv4.ts";
import {
  attribute,
  encodeMessage,
  type Message,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  type Request,
  viewOf,
} from "./message.ts";
import {
  AF_INET,
  AF_INET6,
  decodeAddressOf,
  decodeRouteOf,
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_LOCAL,
  ifaddrmsg,
  listAllAddresses,
  listAllRoutes,
  RT_SCOPE_LINK,
  RTA_DST,
  RTA_GATEWAY,
  RTA_OIF,
  RTM_DELADDR,
  RTM_NEWADDR,
  RTM_NEWROUTE,
  replaceDefault,
  rtmsg,
} from "./rtmsg.ts";

// linux/rtnetlink.h, linux/neighbour.h
const RTM_NEWNEIGH = 28;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_STALE = 4;

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
    bytes: encodeMessage(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifaddrmsg(AF_INET, index, prefixLength), [
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
    bytes: encodeMessage(RTM_DELADDR, 0, ifaddrmsg(AF_INET, index, prefixLength), [
      attribute(IFA_LOCAL, ipv4Bytes(address)),
    ]),
  };
}

/** Adds a route over a link; a prefix length of 0 is the default route. Without a gateway the subnet is on the link. */
export function addRoute(index: number, destination: Subnet, gateway: number | undefined): Request {
  const head = rtmsg(AF_INET, destination.prefixLength, gateway === undefined ? RT_SCOPE_LINK : undefined);
  return {
    what: `add route over link ${index}`,
    bytes: encodeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, head, [
      ...(destination.prefixLength === 0 ? [] : [attribute(RTA_DST, ipv4Bytes(destination.network))]),
      ...(gateway === undefined ? [] : [attribute(RTA_GATEWAY, ipv4Bytes(gateway))]),
      attribute(RTA_OIF, index),
    ]),
    mayFailWith: [EEXIST],
  };
}

/** The default route over a link, instead of the one there was. */
export function replaceDefaultRoute(index: number, gateway: number): Request {
  return replaceDefault(AF_INET, index, ipv4Bytes(gateway));
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
  return listAllAddresses(AF_INET);
}

/** The address of an `RTM_NEWADDR`; undefined for other messages. */
export function decodeAddress(message: Message): Address | undefined {
  const found = decodeAddressOf(AF_INET, message);
  const local = found?.attributes.get(IFA_LOCAL);
  if (found === undefined || local === undefined) return undefined;
  return { index: found.index, address: ipv4FromBytes(local), prefixLength: found.prefixLength };
}

/** Asks for all IPv4 routes: for `dump`. */
export function listRoutes(): Request {
  return listAllRoutes(AF_INET);
}

/** A route of the main table to a subnet over a link; undefined for other messages and for the default route. */
export function decodeRoute(message: Message): HostRoute | undefined {
  const found = decodeRouteOf(AF_INET, message);
  if (found?.destination === undefined) return undefined;
  return { network: ipv4FromBytes(found.destination), prefixLength: found.prefixLength, index: found.index };
}

function broadcastOf(address: number, prefixLength: number): number {
  return (address | (0xffffffff >>> prefixLength)) >>> 0;
}
