/** Addresses and routes of IPv6: the requests of rtnetlink(7). */
import { EEXIST } from "../errors/error.ts";
import { ipv6Bytes, ipv6FromBytes, type Subnet6 } from "./ipv6.ts";
import { attribute, encodeMessage, type Message, NLM_F_CREATE, NLM_F_EXCL, type Request } from "./message.ts";
import {
  AF_INET6,
  decodeAddressOf,
  decodeRouteOf,
  IFA_ADDRESS,
  IFA_LOCAL,
  ifaddrmsg,
  listAllAddresses,
  listAllRoutes,
  RTM_NEWADDR,
  replaceDefault,
} from "./rtmsg.ts";

/** No waiting for another that might have the address: the addresses of a network are given by one netd. */
const IFA_F_NODAD = 0x02;

/** Gives a link an address; one it has already is no failure. */
export function addAddress6(index: number, address: bigint, prefixLength: number): Request {
  return {
    what: `add IPv6 address to link ${index}`,
    bytes: encodeMessage(
      RTM_NEWADDR,
      NLM_F_CREATE | NLM_F_EXCL,
      ifaddrmsg(AF_INET6, index, prefixLength, IFA_F_NODAD),
      [attribute(IFA_LOCAL, ipv6Bytes(address)), attribute(IFA_ADDRESS, ipv6Bytes(address))],
    ),
    mayFailWith: [EEXIST],
  };
}

/** The default route over a link, instead of the one there was. */
export function replaceDefaultRoute6(index: number, gateway: bigint): Request {
  return replaceDefault(AF_INET6, index, ipv6Bytes(gateway));
}

/** Asks for all IPv6 addresses: for `dump`. */
export function listAddresses6(): Request {
  return listAllAddresses(AF_INET6);
}

/** The address of an `RTM_NEWADDR`; undefined for other messages. */
export function decodeAddress6(message: Message): { readonly index: number; readonly address: bigint } | undefined {
  const found = decodeAddressOf(AF_INET6, message);
  const address = found?.attributes.get(IFA_ADDRESS);
  if (found === undefined || address?.length !== 16) return undefined;
  return { index: found.index, address: ipv6FromBytes(address) };
}

/** Asks for all IPv6 routes: for `dump`. */
export function listRoutes6(): Request {
  return listAllRoutes(AF_INET6);
}

/** A route of the main table to a subnet; undefined for other messages and for the default route. */
export function decodeRoute6(message: Message): (Subnet6 & { readonly index: number }) | undefined {
  const found = decodeRouteOf(AF_INET6, message);
  if (found?.destination === undefined) return undefined;
  return { network: ipv6FromBytes(found.destination), prefixLength: found.prefixLength, index: found.index };
}
