/**
 * What ports of bridges may send, whatever is in the frames: a table of the bridge family (nf_tables), which sees every
 * frame before the bridge does, with br_netfilter or without. Rules are written once; a port is a few keys in sets, so
 * that one more costs nothing but its keys, and a frame is looked up, not compared with every rule.
 *
 *   guarded ports   send with their own MAC and addresses only: Ethernet, ARP, IPv4, IPv6 and neighbour discovery; and
 *                   are no routers (RFC 4861: no advertisements, no redirects)
 *   apart ports     send to the bridge itself only, so that the host's own filter has the word; what a port sends to all
 *                   does not come out of another
 */
import { ENOENT } from "../errors/error.ts";
import { decodeAttributes, type Message, type Request, repeatedOf, u8 } from "./message.ts";
import {
  addChain,
  addElements,
  addRule,
  addSet,
  addTable,
  be16,
  comment,
  deleteElements,
  deleteTable,
  differs,
  type Expression,
  equals,
  isIn,
  listElements,
  listRules,
  load,
  mask,
  meta,
  NF_ACCEPT,
  NF_DROP,
  NFGENMSG_BYTES,
  NFPROTO_BRIDGE,
  NFT_META_IIFNAME,
  NFT_META_L4PROTO,
  NFT_META_OIFNAME,
  NFT_META_PROTOCOL,
  NFT_PAYLOAD_LINK_HEADER,
  NFT_PAYLOAD_NETWORK_HEADER,
  NFT_PAYLOAD_TRANSPORT_HEADER,
  NFT_REG_2,
  NFTA_DATA_VALUE,
  NFTA_LIST_ELEM,
  NFTA_SET_ELEM_KEY,
  NFTA_SET_ELEM_LIST_ELEMENTS,
  noteOf,
  sendBatch,
  verdict,
} from "./nftables.ts";
import type { Netlink } from "./socket.ts";

/** A port and what it may send. */
export interface GuardedPort {
  /** The link's name: nothing inside the container can change it. */
  readonly name: string;
  /** Its own addresses; undefined: any. */
  readonly sender: { readonly macAddress: Uint8Array; readonly addresses: readonly Uint8Array[] } | undefined;
  /** The only MAC it may send to; undefined: any. */
  readonly exit: Uint8Array | undefined;
}

const NF_BR_PRE_ROUTING = 0;
const NF_BR_FORWARD = 2;
/** Before br_netfilter leads frames through the packet filter (NF_BR_PRI_BRNF is 0). */
const FIRST = -300;
const IFNAME_BYTES = 16;
const MAC_BYTES = 6;
const ETH_P_IP = be16(0x0800);
const ETH_P_ARP = be16(0x0806);
const ETH_P_IPV6 = be16(0x86dd);
const IPPROTO_ICMPV6 = 58;
const ND_ROUTER_ADVERT = 134;
const ND_NEIGHBOUR_SOLICIT = 135;
const ND_NEIGHBOUR_ADVERT = 136;
const ND_REDIRECT = 137;
const MLD2_REPORT = 143;
/** Ethernet and IPv4, with addresses of 6 and 4 bytes. */
const ARP_HEAD = new Uint8Array([0, 1, 8, 0, 6, 4]);

// libnftables' numbers of data types, for `nft list`.
const TYPE_IFNAME = 41;
const TYPE_ETHER = 9;
const TYPE_IPV4 = 7;
const TYPE_IPV6 = 8;
const withName = (type: number) => (TYPE_IFNAME << 6) | type;

/** A part of a key begins at a multiple of four bytes: a MAC takes eight. */
const SETS = {
  guarded: { id: 1, keyBytes: IFNAME_BYTES, type: TYPE_IFNAME },
  senders: { id: 2, keyBytes: IFNAME_BYTES + 8, type: withName(TYPE_ETHER) },
  addresses: { id: 3, keyBytes: IFNAME_BYTES + 4, type: withName(TYPE_IPV4) },
  addresses6: { id: 4, keyBytes: IFNAME_BYTES + 16, type: withName(TYPE_IPV6) },
  apart: { id: 5, keyBytes: IFNAME_BYTES, type: TYPE_IFNAME },
  exits: { id: 6, keyBytes: IFNAME_BYTES + 8, type: withName(TYPE_ETHER) },
} as const;
type SetName = keyof typeof SETS;
const SET_NAMES = Object.keys(SETS) as readonly SetName[];
/** An attribute's length has 16 bits: so many keys go into one message, so many ports into one batch. */
const KEYS_AT_ONCE = 500;

const FROM = "from-ports";
const TO = "to-ports";

/** Writes the table anew, with these ports. Throws SyscallError where the kernel has no nf_tables for bridges. */
export function establishGuard(netlink: Netlink, table: string, ports: readonly GuardedPort[]): void {
  sendBatch(netlink, [
    addTable(NFPROTO_BRIDGE, table),
    deleteTable(NFPROTO_BRIDGE, table),
    addTable(NFPROTO_BRIDGE, table),
    ...SET_NAMES.map((name) => addSet(NFPROTO_BRIDGE, table, { name, ...SETS[name] })),
    addChain(NFPROTO_BRIDGE, table, { name: FROM, hook: NF_BR_PRE_ROUTING, priority: FIRST }),
    addChain(NFPROTO_BRIDGE, table, { name: TO, hook: NF_BR_FORWARD, priority: FIRST }),
    ...RULES.map(({ chain, expressions }, at) => addRule(NFPROTO_BRIDGE, table, chain, expressions, markOf(at))),
    ...elementsOf(table, ports.slice(0, KEYS_AT_ONCE)),
  ]);
  for (let at = KEYS_AT_ONCE; at < ports.length; at += KEYS_AT_ONCE)
    sendBatch(netlink, elementsOf(table, ports.slice(at, at + KEYS_AT_ONCE)));
}

/** One more port. */
export function guardPort(netlink: Netlink, table: string, port: GuardedPort): void {
  sendBatch(netlink, elementsOf(table, [port]));
}

/** One port less; one that is not there is fine. */
export function unguardPort(netlink: Netlink, table: string, port: GuardedPort): void {
  // One key at a time: a message with a key that is missing does nothing.
  const requests = [...keysOf([port])].flatMap(([set, keys]) =>
    keys.map((key) => deleteElements(NFPROTO_BRIDGE, table, set, [key])),
  );
  for (const request of requests) sendBatch(netlink, [{ ...request, mayFailWith: [ENOENT] }]);
}

/** Nothing is guarded any more; no table is fine. */
export function removeGuard(netlink: Netlink, table: string): void {
  sendBatch(netlink, [addTable(NFPROTO_BRIDGE, table), deleteTable(NFPROTO_BRIDGE, table)]);
}

/** What the kernel has otherwise, a line each. */
export function compareGuard(netlink: Netlink, table: string, ports: readonly GuardedPort[]): string[] {
  const differences: string[] = [];
  for (const chain of [FROM, TO]) {
    const wanted = RULES.flatMap((rule, at) => (rule.chain === chain ? [hex(markOf(at))] : []));
    const there = listRules(netlink, NFPROTO_BRIDGE, table, chain).map((message) => hex(noteOf(message)));
    if (wanted.join() !== there.join()) differences.push(`bridge ${table} ${chain} is not as it was written`);
  }
  if (differences.length > 0) return differences;
  const keys = keysOf(ports);
  for (const set of SET_NAMES) {
    const wanted = new Set((keys.get(set) ?? []).map(hex));
    const there = new Set(listElements(netlink, NFPROTO_BRIDGE, table, set).flatMap(decodeElements).map(hex));
    for (const key of wanted) if (!there.has(key)) differences.push(`bridge ${table} ${set} lacks ${nameOf(key)}`);
    for (const key of there) if (!wanted.has(key)) differences.push(`bridge ${table} ${set} has ${nameOf(key)}`);
  }
  return differences;
}

function decodeElements({ payload }: Message): Uint8Array[] {
  const list = decodeAttributes(payload, NFGENMSG_BYTES).get(NFTA_SET_ELEM_LIST_ELEMENTS);
  if (list === undefined) return [];
  return repeatedOf(list, NFTA_LIST_ELEM).flatMap((element) => {
    const key = decodeAttributes(element).get(NFTA_SET_ELEM_KEY);
    const value = key === undefined ? undefined : decodeAttributes(key).get(NFTA_DATA_VALUE);
    return value === undefined ? [] : [value];
  });
}

function keysOf(ports: readonly GuardedPort[]): ReadonlyMap<SetName, Uint8Array[]> {
  const keys = new Map<SetName, Uint8Array[]>();
  const add = (set: SetName, ...parts: readonly Uint8Array[]) => {
    const key = new Uint8Array(SETS[set].keyBytes);
    let at = 0;
    for (const part of parts) {
      key.set(part, at);
      at += part === parts[0] ? IFNAME_BYTES : part.length;
    }
    keys.set(set, [...(keys.get(set) ?? []), key]);
  };
  for (const { name, sender, exit } of ports) {
    const port = Buffer.from(name);
    if (sender !== undefined) {
      add("guarded", port);
      add("senders", port, sender.macAddress);
      for (const address of sender.addresses) add(address.length === 4 ? "addresses" : "addresses6", port, address);
    }
    if (exit !== undefined) {
      add("apart", port);
      add("exits", port, exit);
    }
  }
  return keys;
}

function elementsOf(table: string, ports: readonly GuardedPort[]): Request[] {
  return [...keysOf(ports)].flatMap(([set, keys]) => {
    const requests: Request[] = [];
    for (let at = 0; at < keys.length; at += KEYS_AT_ONCE)
      requests.push(addElements(NFPROTO_BRIDGE, table, set, keys.slice(at, at + KEYS_AT_ONCE)));
    return requests;
  });
}

interface Rule {
  readonly chain: string;
  readonly expressions: readonly Expression[];
}

const from = (...expressions: readonly Expression[]): Rule => ({ chain: FROM, expressions });
const to = (...expressions: readonly Expression[]): Rule => ({ chain: TO, expressions });
/** The port's name, and beside it bytes of the frame: a key of two parts. */
const port = meta(NFT_META_IIFNAME);
const frame = (offset: number, length: number) => load(NFT_PAYLOAD_LINK_HEADER, offset, length, NFT_REG_2);
const packet = (offset: number, length: number) => load(NFT_PAYLOAD_NETWORK_HEADER, offset, length, NFT_REG_2);
const protocol = (type: Uint8Array) => [meta(NFT_META_PROTOCOL), equals(type)];
const toSome = [load(NFT_PAYLOAD_LINK_HEADER, 0, 1), mask(u8(1))];
const icmp6 = (type: number) => [
  ...protocol(ETH_P_IPV6),
  meta(NFT_META_L4PROTO),
  equals(u8(IPPROTO_ICMPV6)),
  load(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1),
  equals(u8(type)),
];
const fromNobody = [load(NFT_PAYLOAD_NETWORK_HEADER, 8, 16), equals(new Uint8Array(16))];
const drop = verdict(NF_DROP);
const accept = verdict(NF_ACCEPT);
const isGuarded = [port, isIn("guarded", true)];

const RULES: readonly Rule[] = [
  // Apart: to one MAC that is not the bridge's; then to many, out of another such port.
  from(port, isIn("apart", true), ...toSome, equals(u8(0)), port, frame(0, MAC_BYTES), isIn("exits", false), drop),
  to(port, isIn("apart", true), meta(NFT_META_OIFNAME), isIn("apart", true), ...toSome, equals(u8(1)), drop),
  from(port, isIn("guarded", false), accept),
  from(port, frame(MAC_BYTES, MAC_BYTES), isIn("senders", false), drop),
  // ARP: who sends, as the frame says and as the message says; an address of zero asks whether one is free (RFC 5227).
  from(...protocol(ETH_P_ARP), load(NFT_PAYLOAD_NETWORK_HEADER, 0, 6), differs(ARP_HEAD), drop),
  from(...protocol(ETH_P_ARP), port, packet(8, MAC_BYTES), isIn("senders", false), drop),
  from(...protocol(ETH_P_ARP), load(NFT_PAYLOAD_NETWORK_HEADER, 14, 4), equals(new Uint8Array(4)), accept),
  from(...protocol(ETH_P_ARP), port, packet(14, 4), isIn("addresses", true), accept),
  from(...protocol(ETH_P_IP), port, packet(12, 4), isIn("addresses", true), accept),
  from(...icmp6(ND_ROUTER_ADVERT), ...isGuarded, drop),
  from(...icmp6(ND_REDIRECT), ...isGuarded, drop),
  // Whose address it advertises.
  from(
    ...icmp6(ND_NEIGHBOUR_ADVERT),
    port,
    load(NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16, NFT_REG_2),
    isIn("addresses6", false),
    drop,
  ),
  from(...protocol(ETH_P_IPV6), port, packet(8, 16), isIn("addresses6", true), accept),
  // Before it has an address: whether that is free, and which groups it is in.
  from(...icmp6(ND_NEIGHBOUR_SOLICIT), ...fromNobody, accept),
  from(...icmp6(MLD2_REPORT), ...fromNobody, accept),
  from(...isGuarded, drop),
];

const FINGERPRINT = new Bun.CryptoHasher("sha256")
  .update(Buffer.concat(RULES.flatMap(({ chain, expressions }) => [Buffer.from(chain), ...expressions])))
  .digest("hex")
  .slice(0, 8);

/** What is kept with a rule: whoever changes one takes it away. */
function markOf(at: number): Uint8Array {
  return comment(`ctr ${FINGERPRINT} ${at}`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function nameOf(key: string): string {
  const bytes = Buffer.from(key, "hex");
  const name = bytes.subarray(0, IFNAME_BYTES).toString().replace(/\0.*$/s, "");
  const rest = bytes.subarray(IFNAME_BYTES).toString("hex");
  return rest === "" ? name : `${name} ${rest}`;
}
