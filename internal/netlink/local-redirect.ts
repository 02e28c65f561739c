/**
 * Port 53 of an address of this host, answered by sockets on other ports (nf_tables, linux/netfilter/nf_tables.h). The
 * port in the packet is written over on its way through loopback: no connection tracking, no NAT, and no program to run.
 * What is asked goes out under port 53 past every rule of the container and is changed last; what comes back is changed
 * first, so that rules and connection tracking only ever see port 53.
 */

import { EAGAIN, isErrno, SyscallError } from "../errors/error.ts";
import { MSG_DONTWAIT, recv, send } from "../sys/socket.ts";
import {
  attribute,
  decodeError,
  decodeMessages,
  encodeMessage,
  NLM_F_CREATE,
  NLMSG_ERROR,
  nested,
  type Request,
  stamp,
  u8,
  viewOf,
} from "./message.ts";
import { NETLINK_NETFILTER, type Netlink, openNetlink } from "./socket.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_DELRULE = 8;
const NLM_F_APPEND = 0x800;
const AF_UNSPEC = 0;
const AF_INET = 2;
const NF_INET_LOCAL_OUT = 3;
/** Before everything that looks at the packet (NF_IP_PRI_RAW), and after it. */
const FIRST = -300;
const LAST = 300;

const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFT_REG_1 = 1;
const NFT_META_L4PROTO = 16;
const NFT_CMP_EQ = 0;
const NFT_PAYLOAD_NETWORK_HEADER = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER = 2;
const NFT_PAYLOAD_CSUM_INET = 1;

const PROTOCOLS = {
  tcp: { number: 6, checksumAt: 16 },
  udp: { number: 17, checksumAt: 6 },
} as const;
const SOURCE = { addressAt: 12, portAt: 0 };
const DESTINATION = { addressAt: 16, portAt: 2 };

/** What leads from `port` of `address` to the sockets. */
export interface LocalRedirect {
  /** The table, and the start of its chains' names. */
  readonly table: string;
  /** Four bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  readonly tcpPort: number;
  readonly udpPort: number;
}

/**
 * Sets the rules in the calling thread's network namespace; those of this table from before are replaced, in one step.
 * The caller owns the socket it gives, and closes it when the rules do not matter any more: the kernel makes whoever
 * closes it sooner wait until the replaced rules are out of use. Throws SyscallError, without an effect, where the kernel
 * has no nf_tables.
 */
export function redirectLocalPort(redirect: LocalRedirect): Disposable {
  using undo = new DisposableStack();
  const netlink = undo.use(openNetlink(NETLINK_NETFILTER));
  sendBatch(netlink, redirectRequests(redirect));
  return undo.move();
}

/**
 * Sends a batch and throws the first failure. The kernel works through it before send(2) returns, and tells of failures
 * only: whether a batch's end is acknowledged differs by version and outcome, so nobody waits for an answer.
 */
function sendBatch({ fd, buffer }: Netlink, requests: readonly Request[]): void {
  for (const [sequence, { bytes }] of requests.entries()) stamp(bytes, sequence, false);
  send(fd.number, Buffer.concat(requests.map(({ bytes }) => bytes)));
  for (;;) {
    let size: number;
    try {
      size = recv(fd.number, buffer, MSG_DONTWAIT);
    } catch (error) {
      if (isErrno(error, EAGAIN)) return;
      throw error;
    }
    for (const message of decodeMessages(buffer.subarray(0, size))) {
      if (message.type !== NLMSG_ERROR) continue;
      const { errno } = decodeError(message);
      if (errno !== 0) throw new SyscallError("netlink", errno, requests[message.sequence]?.what ?? "batch");
    }
  }
}

/** The batch: all of it is done, or nothing. */
function redirectRequests({ table, address, port, tcpPort, udpPort }: LocalRedirect): Request[] {
  const [asked, answered] = ["asked", "answered"];
  const rules = (protocol: keyof typeof PROTOCOLS, to: number) => [
    rule(table, asked, rewrite(protocol, DESTINATION, address, port, to)),
    rule(table, answered, rewrite(protocol, SOURCE, address, to, port)),
  ];
  const name = attribute(NFTA_TABLE_NAME, table);
  return [
    batchEdge("begin", NFNL_MSG_BATCH_BEGIN),
    message(`table ${table}`, NFT_MSG_NEWTABLE, NLM_F_CREATE, [name]),
    // Made if they are missing, then emptied: taking a chain away would make the kernel wait for 16 ms.
    chain(table, asked, LAST),
    chain(table, answered, FIRST),
    noRules(table, asked),
    noRules(table, answered),
    ...rules("udp", udpPort),
    ...rules("tcp", tcpPort),
    batchEdge("end", NFNL_MSG_BATCH_END),
  ];
}

function chain(table: string, name: string, priority: number): Request {
  return message(`chain ${table} ${name}`, NFT_MSG_NEWCHAIN, NLM_F_CREATE, [
    attribute(NFTA_CHAIN_TABLE, table),
    attribute(NFTA_CHAIN_NAME, name),
    nested(NFTA_CHAIN_HOOK, [
      attribute(NFTA_HOOK_HOOKNUM, be32(NF_INET_LOCAL_OUT)),
      attribute(NFTA_HOOK_PRIORITY, be32(priority)),
    ]),
    attribute(NFTA_CHAIN_TYPE, "filter"),
  ]);
}

function noRules(table: string, chainName: string): Request {
  return message(`rules ${table} ${chainName}`, NFT_MSG_DELRULE, 0, [
    attribute(NFTA_RULE_TABLE, table),
    attribute(NFTA_RULE_CHAIN, chainName),
  ]);
}

function rule(table: string, chainName: string, expressions: readonly Uint8Array[]): Request {
  return message(`rule ${table} ${chainName}`, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, [
    attribute(NFTA_RULE_TABLE, table),
    attribute(NFTA_RULE_CHAIN, chainName),
    nested(NFTA_RULE_EXPRESSIONS, expressions),
  ]);
}

/** Of this protocol, with this address and port at that end: another port in its place. */
function rewrite(
  protocol: keyof typeof PROTOCOLS,
  end: { readonly addressAt: number; readonly portAt: number },
  address: Uint8Array,
  from: number,
  to: number,
): Uint8Array[] {
  const { number, checksumAt } = PROTOCOLS[protocol];
  return [
    expression("meta", [attribute(1, be32(NFT_REG_1)), attribute(2, be32(NFT_META_L4PROTO))]),
    equals(u8(number)),
    load(NFT_PAYLOAD_NETWORK_HEADER, end.addressAt, 4),
    equals(address),
    load(NFT_PAYLOAD_TRANSPORT_HEADER, end.portAt, 2),
    equals(be16(from)),
    expression("immediate", [attribute(1, be32(NFT_REG_1)), nested(2, [attribute(NFTA_DATA_VALUE, be16(to))])]),
    // NFTA_PAYLOAD_BASE, _OFFSET, _LEN, _SREG, _CSUM_TYPE, _CSUM_OFFSET
    expression("payload", [
      attribute(2, be32(NFT_PAYLOAD_TRANSPORT_HEADER)),
      attribute(3, be32(end.portAt)),
      attribute(4, be32(2)),
      attribute(5, be32(NFT_REG_1)),
      attribute(6, be32(NFT_PAYLOAD_CSUM_INET)),
      attribute(7, be32(checksumAt)),
    ]),
  ];
}

/** NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN */
function load(base: number, offset: number, length: number): Uint8Array {
  return expression("payload", [
    attribute(1, be32(NFT_REG_1)),
    attribute(2, be32(base)),
    attribute(3, be32(offset)),
    attribute(4, be32(length)),
  ]);
}

/** NFTA_CMP_SREG, _OP, _DATA */
function equals(value: Uint8Array): Uint8Array {
  return expression("cmp", [
    attribute(1, be32(NFT_REG_1)),
    attribute(2, be32(NFT_CMP_EQ)),
    nested(3, [attribute(NFTA_DATA_VALUE, value)]),
  ]);
}

function expression(name: string, attributes: readonly Uint8Array[]): Uint8Array {
  return nested(NFTA_LIST_ELEM, [attribute(NFTA_EXPR_NAME, name), nested(NFTA_EXPR_DATA, attributes)]);
}

function message(what: string, type: number, flags: number, attributes: readonly Uint8Array[]): Request {
  // struct nfgenmsg: family, version, resource id.
  const header = new Uint8Array([AF_INET, 0, 0, 0]);
  return { what, bytes: encodeMessage((NFNL_SUBSYS_NFTABLES << 8) | type, flags, header, attributes) };
}

/** The resource id of a batch's edges is the subsystem, highest byte first. */
function batchEdge(what: string, type: number): Request {
  const header = new Uint8Array([AF_UNSPEC, 0, 0, NFNL_SUBSYS_NFTABLES]);
  return { what: `${what} batch`, bytes: encodeMessage(type, 0, header, []) };
}

function be32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setInt32(0, value);
  return bytes;
}

function be16(value: number): Uint8Array {
  return new Uint8Array([value >> 8, value]);
}
