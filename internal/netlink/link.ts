/** Links: the requests of rtnetlink(7) that make, change, list and remove them, and what the kernel says of one. */
import { EAFNOSUPPORT, EOPNOTSUPP } from "../errors/error.ts";
import {
  type Attributes,
  attribute,
  byteOf,
  decodeAttributes,
  encodeMessage,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  nested,
  nestedOf,
  numberOf,
  type Request,
  textOf,
  u8,
  viewOf,
} from "./message.ts";

// linux/rtnetlink.h
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
/** The mask of `RTNLGRP_LINK` for `openNetlinkGroups`. */
export const RTMGRP_LINK = 1;

// linux/if_link.h
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const VETH_INFO_PEER = 1;
const IFLA_BRPORT_STATE = 1;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const BR_STATE_DISABLED = 0;
const BR_STATE_FORWARDING = 3;
const IFLA_INET_CONF = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
// linux/ip.h
const IPV4_DEVCONF_ARP_NOTIFY = 22;
const IPV4_DEVCONF_ROUTE_LOCALNET = 26;
// linux/if.h, linux/socket.h
const IF_OPER_UP = 6;
const IFF_UP = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const IFINFOMSG_BYTES = 16;

/** The loopback link of every network namespace. */
export const LOOPBACK_INDEX = 1;

/** What the kernel says of a link. */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly isUp: boolean;
  readonly mtu: number;
  /** The link it is a port of. */
  readonly master: number | undefined;
  /** For a veth the number of its peer, in the peer's namespace. */
  readonly peer: number | undefined;
  /** `veth`, `bridge`; undefined for hardware. */
  readonly kind: string | undefined;
  readonly alias: string | undefined;
  /** What a bridge does with it; undefined for a link that is no bridge's port. */
  readonly port: BridgePort | undefined;
}

export interface BridgePort {
  readonly isHairpin: boolean;
  readonly isIsolated: boolean;
  /** Nothing passes, though the link could carry it. */
  readonly isShut: boolean;
}

/** A veth pair: the near end is a port of a bridge and up, the peer is born in another network namespace. */
export interface VethPair {
  readonly name: string;
  readonly bridge: number;
  readonly mtu: number;
  readonly peer: { readonly name: string; readonly macAddress: Uint8Array; readonly namespaceFd: number };
}

/** Makes a veth pair; EEXIST when either name is taken. */
export function addVeth(pair: VethPair): Request {
  const { name, mtu, peer } = pair;
  return {
    what: `add link ${name}`,
    bytes: encodeMessage(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg({ flags: IFF_UP, change: IFF_UP }), [
      attribute(IFLA_IFNAME, name),
      attribute(IFLA_MTU, mtu),
      attribute(IFLA_MASTER, pair.bridge),
      nested(IFLA_LINKINFO, [
        attribute(IFLA_INFO_KIND, "veth"),
        nested(IFLA_INFO_DATA, [
          nested(
            VETH_INFO_PEER,
            [
              attribute(IFLA_IFNAME, peer.name),
              attribute(IFLA_ADDRESS, peer.macAddress),
              attribute(IFLA_MTU, mtu),
              attribute(IFLA_NET_NS_FD, peer.namespaceFd),
            ],
            ifinfomsg({}),
          ),
        ]),
      ]),
    ]),
  };
}

/** `enum macvlan_mode` and the modes of ipvlan, linux/if_link.h. */
export const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export const IPVLAN_MODES = { l2: 0, l3: 1, l3s: 2 } as const;
const IFLA_MACVLAN_MODE = 1;
const IFLA_IPVLAN_MODE = 1;

/** A macvlan or ipvlan link on top of another, born in another network namespace. */
export interface SubInterface {
  readonly name: string;
  readonly kind: "macvlan" | "ipvlan";
  /** One of MACVLAN_MODES or IPVLAN_MODES. */
  readonly mode: number;
  /** The number of the link below. */
  readonly parent: number;
  readonly mtu: number;
  readonly macAddress: Uint8Array | undefined;
  readonly namespaceFd: number;
}

/** Makes it; EOPNOTSUPP where the kernel has no such kind. */
export function addSubInterface(wanted: SubInterface): Request {
  const { name, kind, mode, parent, mtu, macAddress, namespaceFd } = wanted;
  const data =
    kind === "macvlan"
      ? attribute(IFLA_MACVLAN_MODE, mode)
      : attribute(IFLA_IPVLAN_MODE, new Uint8Array(new Uint16Array([mode]).buffer));
  return {
    what: `add ${kind} link ${name}`,
    bytes: encodeMessage(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg({}), [
      attribute(IFLA_IFNAME, name),
      attribute(IFLA_LINK, parent),
      attribute(IFLA_MTU, mtu),
      ...(macAddress === undefined ? [] : [attribute(IFLA_ADDRESS, macAddress)]),
      attribute(IFLA_NET_NS_FD, namespaceFd),
      nested(IFLA_LINKINFO, [attribute(IFLA_INFO_KIND, kind), nested(IFLA_INFO_DATA, [data])]),
    ]),
  };
}

/** Makes a link that leads nowhere; EOPNOTSUPP where the kernel has none. */
export function addDummy(name: string): Request {
  return addOfKind(name, [attribute(IFLA_INFO_KIND, "dummy")]);
}

const IFLA_VLAN_ID = 1;

/** Makes the link of one VLAN of another's wire; EOPNOTSUPP where the kernel has none. */
export function addVlan(name: string, parent: number, id: number): Request {
  const number = attribute(IFLA_VLAN_ID, new Uint8Array(new Uint16Array([id]).buffer));
  return addOfKind(
    name,
    [attribute(IFLA_INFO_KIND, "vlan"), nested(IFLA_INFO_DATA, [number])],
    [attribute(IFLA_LINK, parent)],
  );
}

function addOfKind(name: string, kind: readonly Uint8Array[], others: readonly Uint8Array[] = []): Request {
  return {
    what: `add link ${name}`,
    bytes: encodeMessage(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg({}), [
      attribute(IFLA_IFNAME, name),
      ...others,
      nested(IFLA_LINKINFO, kind),
    ]),
  };
}

/**
 * Makes a bridge; its MAC is given, because one taken from its ports would change with them. Its MTU is its ports' lowest
 * until it is set: one that it is born with does not count as that (br_mtu_auto_adjust).
 */
export function addBridge(name: string, macAddress: Uint8Array): Request {
  return addOfKind(name, [attribute(IFLA_INFO_KIND, "bridge")], [attribute(IFLA_ADDRESS, macAddress)]);
}

/** Lets a bridge send a frame back through the port it came from: a container that calls its own published port. */
export function setHairpin(name: string): Request {
  return setPort(name, attribute(IFLA_BRPORT_MODE, u8(1)));
}

/** Stops all traffic through a bridge's port at once, long before its link is gone. */
export function disablePort(name: string): Request {
  return setPort(name, attribute(IFLA_BRPORT_STATE, u8(BR_STATE_DISABLED)));
}

/** Takes that back, for a port whose link has a carrier. */
export function openPort(name: string): Request {
  return setPort(name, attribute(IFLA_BRPORT_STATE, u8(BR_STATE_FORWARDING)));
}

function setPort(name: string, option: Uint8Array): Request {
  return changeByName(`change port ${name}`, name, [
    nested(IFLA_LINKINFO, [attribute(IFLA_INFO_SLAVE_KIND, "bridge"), nested(IFLA_INFO_SLAVE_DATA, [option])]),
  ]);
}

/** Keeps frames of this port from the bridge's other isolated ports: kernel 4.18. */
export function isolatePort(name: string): Request {
  return setPort(name, attribute(IFLA_BRPORT_ISOLATED, u8(1)));
}

/** Makes the link a port of a bridge. */
export function setMaster(name: string, bridge: number): Request {
  return changeByName(`change link ${name}`, name, [attribute(IFLA_MASTER, bridge)]);
}

/** The longest packet the link takes. */
export function setMtu(name: string, mtu: number): Request {
  return changeByName(`change link ${name}`, name, [attribute(IFLA_MTU, mtu)]);
}

/** A note on the link for people and for who looks for its owner: `ip -d link` shows it. */
export function setAlias(name: string, alias: string): Request {
  return changeByName(`change link ${name}`, name, [attribute(IFLA_IFALIAS, ENCODER.encode(alias))]);
}

const ENCODER = new TextEncoder();

/** Lets the link route 127.0.0.0/8, so that a port published on the loopback address can be handed on (ip-sysctl). */
export function routeLoopback(name: string): Request {
  return changeByName(`change link ${name}`, name, [ipv4Option(IPV4_DEVCONF_ROUTE_LOCALNET)]);
}

/** Announces the link's addresses when it comes up (ip-sysctl, arp_notify): the last owner's MAC is forgotten by all. */
export function announceAddresses(index: number): Request {
  return changeByIndex(`change link ${index}`, { index }, [ipv4Option(IPV4_DEVCONF_ARP_NOTIFY)]);
}

/** Keeps the link without an IPv6 address of its own making; no failure where the kernel has no IPv6. */
export function withoutIpv6Address(index: number): Request {
  return {
    ...changeByIndex(`change link ${index}`, { index }, [
      nested(IFLA_AF_SPEC, [nested(AF_INET6, [attribute(IFLA_INET6_ADDR_GEN_MODE, u8(IN6_ADDR_GEN_MODE_NONE))])]),
    ]),
    mayFailWith: [EAFNOSUPPORT, EOPNOTSUPP],
  };
}

function ipv4Option(option: number): Uint8Array {
  return nested(IFLA_AF_SPEC, [nested(AF_INET, [nested(IFLA_INET_CONF, [attribute(option, 1)])])]);
}

/** Moves the link to another network namespace, where it is called `newName` if that is given. */
export function moveLink(link: {
  readonly index: number;
  readonly name: string;
  readonly namespaceFd: number;
  readonly newName?: string;
}): Request {
  return changeByIndex(`move link ${link.name}`, { index: link.index }, [
    attribute(IFLA_NET_NS_FD, link.namespaceFd),
    ...(link.newName === undefined ? [] : [attribute(IFLA_IFNAME, link.newName)]),
  ]);
}

/** Sets the link up. */
export function setLinkUp(index: number): Request {
  return changeByIndex(`set link ${index} up`, { index, flags: IFF_UP, change: IFF_UP }, []);
}

/** Sets the link with this name up. */
export function setLinkUpByName(name: string): Request {
  return {
    what: `set link ${name} up`,
    bytes: encodeMessage(RTM_NEWLINK, 0, ifinfomsg({ flags: IFF_UP, change: IFF_UP }), [attribute(IFLA_IFNAME, name)]),
  };
}

/** Removes a link, and with a veth its peer. Takes the kernel some milliseconds: it waits for readers (RCU). */
export function deleteLink(name: string): Request {
  return {
    what: `delete link ${name}`,
    bytes: encodeMessage(RTM_DELLINK, 0, ifinfomsg({}), [attribute(IFLA_IFNAME, name)]),
  };
}

/** Asks for one link by name: the answer is for `decodeLink`. */
export function getLink(name: string): Request {
  return { what: `link ${name}`, bytes: encodeMessage(RTM_GETLINK, 0, ifinfomsg({}), [attribute(IFLA_IFNAME, name)]) };
}

/** Asks for all links: for `dump`. */
export function listLinks(): Request {
  return { what: "list links", bytes: encodeMessage(RTM_GETLINK, NLM_F_DUMP, ifinfomsg({}), []) };
}

/** The link of an `RTM_NEWLINK` or `RTM_DELLINK`; undefined for other messages. */
export function decodeLink(message: Message): Link | undefined {
  const { type, payload } = message;
  if ((type !== RTM_NEWLINK && type !== RTM_DELLINK) || payload.length < IFINFOMSG_BYTES) return undefined;
  const view = viewOf(payload);
  const attributes = decodeAttributes(payload, IFINFOMSG_BYTES);
  const kinds = nestedOf(attributes, IFLA_LINKINFO);
  return {
    index: view.getInt32(4, true),
    name: textOf(attributes, IFLA_IFNAME) ?? "",
    isUp: (view.getUint32(8, true) & IFF_UP) !== 0,
    mtu: numberOf(attributes, IFLA_MTU) ?? 0,
    master: numberOf(attributes, IFLA_MASTER),
    peer: numberOf(attributes, IFLA_LINK),
    kind: textOf(kinds, IFLA_INFO_KIND),
    alias: textOf(attributes, IFLA_IFALIAS),
    port:
      textOf(kinds, IFLA_INFO_SLAVE_KIND) === "bridge"
        ? decodePort(kinds, byteOf(attributes, IFLA_OPERSTATE))
        : undefined,
  };
}

function decodePort(kinds: Attributes, operationalState: number | undefined): BridgePort {
  const port = nestedOf(kinds, IFLA_INFO_SLAVE_DATA);
  return {
    isHairpin: byteOf(port, IFLA_BRPORT_MODE) === 1,
    isIsolated: byteOf(port, IFLA_BRPORT_ISOLATED) === 1,
    isShut: byteOf(port, IFLA_BRPORT_STATE) === BR_STATE_DISABLED && operationalState === IF_OPER_UP,
  };
}

function changeByIndex(what: string, head: Ifinfomsg, attributes: readonly Uint8Array[]): Request {
  return { what, bytes: encodeMessage(RTM_NEWLINK, 0, ifinfomsg(head), attributes) };
}

function changeByName(what: string, name: string, attributes: readonly Uint8Array[]): Request {
  return { what, bytes: encodeMessage(RTM_NEWLINK, 0, ifinfomsg({}), [attribute(IFLA_IFNAME, name), ...attributes]) };
}

interface Ifinfomsg {
  readonly index?: number;
  readonly flags?: number;
  readonly change?: number;
}

/** struct ifinfomsg: family, pad, type, index, flags, change. */
function ifinfomsg(head: Ifinfomsg): Uint8Array {
  const bytes = new Uint8Array(IFINFOMSG_BYTES);
  const view = viewOf(bytes);
  view.setInt32(4, head.index ?? 0, true);
  view.setUint32(8, head.flags ?? 0, true);
  view.setUint32(12, head.change ?? 0, true);
  return bytes;
}
