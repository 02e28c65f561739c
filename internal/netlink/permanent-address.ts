/** Addresses of a link that are meant to last, of either family, as the kernel says them and takes them again. */
import { EEXIST } from "../errors/error.ts";
import {
  attribute,
  decodeAttributes,
  encodeMessage,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  numberOf,
  type Request,
  viewOf,
} from "./message.ts";

// linux/rtnetlink.h
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RT_SCOPE_UNIVERSE = 0;
// linux/if_addr.h
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_RT_PRIORITY = 9;
const IFA_F_NODAD = 0x02;
const IFA_F_PERMANENT = 0x80;
const IFA_F_MANAGETEMPADDR = 0x100;
const IFA_F_NOPREFIXROUTE = 0x200;
const IFA_F_MCAUTOJOIN = 0x400;
const AF_UNSPEC = 0;
const IFADDRMSG_BYTES = 8;

/** What of an address is its owner's: the rest is the kernel's doing. The label holds the name of a device, and goes. */
const KEPT_ATTRIBUTES = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_RT_PRIORITY];
const KEPT_FLAGS = IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;

export interface PermanentAddress {
  readonly index: number;
  readonly family: number;
  readonly prefixLength: number;
  readonly flags: number;
  readonly attributes: readonly (readonly [type: number, value: Uint8Array])[];
}

/** Asks for all addresses of every family: for `dump`. */
export function listAllAddresses(): Request {
  return { what: "list addresses", bytes: encodeMessage(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg(AF_UNSPEC, 0, 0), []) };
}

/** The address of an `RTM_NEWADDR` if it is permanent and of global scope (RFC 3549, 2.3.3.2); undefined for any other. */
export function decodePermanentAddress({ type, payload }: Message): PermanentAddress | undefined {
  if (type !== RTM_NEWADDR || payload.length < IFADDRMSG_BYTES) return undefined;
  const [family = 0, prefixLength = 0, head = 0, scope] = payload;
  const found = decodeAttributes(payload, IFADDRMSG_BYTES);
  const flags = numberOf(found, IFA_FLAGS) ?? head;
  if (scope !== RT_SCOPE_UNIVERSE || (flags & IFA_F_PERMANENT) === 0) return undefined;
  const attributes = KEPT_ATTRIBUTES.flatMap((kind) => {
    const value = found.get(kind);
    return value === undefined ? [] : [[kind, value] as const];
  });
  return { index: viewOf(payload).getUint32(4, true), family, prefixLength, flags: flags & KEPT_FLAGS, attributes };
}

/** Gives it to a link. Nobody else is asked whether he has it: it was this device's before. */
export function restoreAddress(index: number, { family, prefixLength, flags, attributes }: PermanentAddress): Request {
  return {
    what: `add address to link ${index}`,
    bytes: encodeMessage(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifaddrmsg(family, prefixLength, index), [
      ...attributes.map(([kind, value]) => attribute(kind, value)),
      attribute(IFA_FLAGS, flags | IFA_F_NODAD),
    ]),
    mayFailWith: [EEXIST],
  };
}

/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
function ifaddrmsg(family: number, prefixLength: number, index: number): Uint8Array {
  const bytes = new Uint8Array(IFADDRMSG_BYTES);
  bytes.set([family, prefixLength, 0, RT_SCOPE_UNIVERSE]);
  viewOf(bytes).setUint32(4, index, true);
  return bytes;
}
