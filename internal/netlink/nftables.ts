/**
 * nf_tables: batches of changes to tables, chains, rules and sets, and the expressions that rules are made of
 * (linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h). A batch is done whole or not at all.
 */
import { EAGAIN, isErrno, SyscallError } from "../errors/error.ts";
import { MSG_DONTWAIT, recv, send } from "../sys/socket.ts";
import {
  attribute,
  decodeAttributes,
  decodeError,
  decodeMessages,
  encodeMessage,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLMSG_ERROR,
  nested,
  type Request,
  stamp,
  viewOf,
} from "./message.ts";
import { dump, type Netlink } from "./socket.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_DELTABLE = 2;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_GETRULE = 7;
const NFT_MSG_DELRULE = 8;
const NFT_MSG_NEWSET = 9;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_GETSETELEM = 13;
const NFT_MSG_DELSETELEM = 14;
const NLM_F_APPEND = 0x800;
/** struct nfgenmsg: family, version, resource id. */
export const NFGENMSG_BYTES = 4;

/** Families of tables: linux/netfilter.h. */
export const NFPROTO_UNSPEC = 0;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_BRIDGE = 7;

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
const NFTA_RULE_USERDATA = 7;
const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_ID = 10;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
export const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
export const NFTA_SET_ELEM_KEY = 1;
export const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
export const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;

const NFT_REG_VERDICT = 0;
/** The first two registers of 16 bytes; a key of two parts is one value over both. */
export const NFT_REG_1 = 1;
export const NFT_REG_2 = 2;
export const NFT_META_PROTOCOL = 1;
export const NFT_META_IIFNAME = 6;
export const NFT_META_OIFNAME = 7;
export const NFT_META_L4PROTO = 16;
const NFT_CMP_EQ = 0;
const NFT_CMP_NEQ = 1;
const NFT_LOOKUP_F_INV = 1;
export const NFT_PAYLOAD_LINK_HEADER = 0;
export const NFT_PAYLOAD_NETWORK_HEADER = 1;
export const NFT_PAYLOAD_TRANSPORT_HEADER = 2;
const NFT_PAYLOAD_CSUM_INET = 1;
export const NF_DROP = 0;
export const NF_ACCEPT = 1;

export type Expression = Uint8Array;

/**
 * Sends a batch and throws the first failure. The kernel works through it before send(2) returns, and tells of failures
 * only: whether a batch's end is acknowledged differs by version and outcome, so nobody waits for an answer.
 */
export function sendBatch({ fd, buffer }: Netlink, requests: readonly Request[]): void {
  const batch = [batchEdge("begin", NFNL_MSG_BATCH_BEGIN), ...requests, batchEdge("end", NFNL_MSG_BATCH_END)];
  for (const [sequence, { bytes }] of batch.entries()) stamp(bytes, sequence, false);
  send(fd.number, Buffer.concat(batch.map(({ bytes }) => bytes)));
  let failure: SyscallError | undefined;
  for (;;) {
    let size: number;
    try {
      size = recv(fd.number, buffer, MSG_DONTWAIT);
    } catch (error) {
      if (!isErrno(error, EAGAIN)) throw error;
      if (failure !== undefined) throw failure;
      return;
    }
    for (const message of decodeMessages(buffer.subarray(0, size))) {
      if (message.type !== NLMSG_ERROR) continue;
      const { errno } = decodeError(message);
      const request = batch[message.sequence];
      if (errno !== 0 && request?.mayFailWith?.includes(errno) !== true)
        failure ??= new SyscallError("netlink", errno, request?.what ?? "batch");
    }
  }
}

/** A table; one that is there already is fine. */
export function addTable(family: number, table: string): Request {
  return message(`table ${table}`, NFT_MSG_NEWTABLE, NLM_F_CREATE, family, [attribute(NFTA_TABLE_NAME, table)]);
}

/** Removes a table and all that is in it. */
export function deleteTable(family: number, table: string): Request {
  return message(`delete table ${table}`, NFT_MSG_DELTABLE, 0, family, [attribute(NFTA_TABLE_NAME, table)]);
}

/** A chain at a hook of its family; one that is there already is fine. */
export function addChain(
  family: number,
  table: string,
  chain: { readonly name: string; readonly hook: number; readonly priority: number },
): Request {
  return message(`chain ${table} ${chain.name}`, NFT_MSG_NEWCHAIN, NLM_F_CREATE, family, [
    attribute(NFTA_CHAIN_TABLE, table),
    attribute(NFTA_CHAIN_NAME, chain.name),
    nested(NFTA_CHAIN_HOOK, [
      attribute(NFTA_HOOK_HOOKNUM, be32(chain.hook)),
      attribute(NFTA_HOOK_PRIORITY, be32(chain.priority)),
    ]),
    attribute(NFTA_CHAIN_TYPE, "filter"),
  ]);
}

/** Empties a chain. */
export function deleteRules(family: number, table: string, chain: string): Request {
  return message(`rules ${table} ${chain}`, NFT_MSG_DELRULE, 0, family, [
    attribute(NFTA_RULE_TABLE, table),
    attribute(NFTA_RULE_CHAIN, chain),
  ]);
}

/** Appends a rule; `note` is kept with it and shown by `listRules`. */
export function addRule(
  family: number,
  table: string,
  chain: string,
  expressions: readonly Expression[],
  note?: Uint8Array,
): Request {
  return message(`rule ${table} ${chain}`, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family, [
    attribute(NFTA_RULE_TABLE, table),
    attribute(NFTA_RULE_CHAIN, chain),
    nested(NFTA_RULE_EXPRESSIONS, expressions),
    ...(note === undefined ? [] : [attribute(NFTA_RULE_USERDATA, note)]),
  ]);
}

/** A note for `addRule`, as libnftables keeps a comment: type, length, text. */
export function comment(words: string): Uint8Array {
  const text = Buffer.from(`${words}\0`);
  return new Uint8Array([0, text.length, ...text]);
}

/** The note of a rule that `listRules` has given; empty for none. */
export function noteOf({ payload }: Message): Uint8Array {
  return decodeAttributes(payload, NFGENMSG_BYTES).get(NFTA_RULE_USERDATA) ?? new Uint8Array(0);
}

/** A set of keys of so many bytes; `type` is for people who list it (libnftables' numbers, six bits each). */
export function addSet(
  family: number,
  table: string,
  set: { readonly name: string; readonly id: number; readonly keyBytes: number; readonly type: number },
): Request {
  return message(`set ${table} ${set.name}`, NFT_MSG_NEWSET, NLM_F_CREATE, family, [
    attribute(NFTA_SET_TABLE, table),
    attribute(NFTA_SET_NAME, set.name),
    attribute(NFTA_SET_FLAGS, be32(0)),
    attribute(NFTA_SET_KEY_TYPE, be32(set.type)),
    attribute(NFTA_SET_KEY_LEN, be32(set.keyBytes)),
    attribute(NFTA_SET_ID, be32(set.id)),
  ]);
}

/** Adds keys to a set; those that are there already are fine. */
export function addElements(family: number, table: string, set: string, keys: readonly Uint8Array[]): Request {
  return elements(`add to set ${table} ${set}`, NFT_MSG_NEWSETELEM, NLM_F_CREATE, family, table, set, keys);
}

/** Takes keys from a set; ENOENT for one that is not there. */
export function deleteElements(family: number, table: string, set: string, keys: readonly Uint8Array[]): Request {
  return elements(`take from set ${table} ${set}`, NFT_MSG_DELSETELEM, 0, family, table, set, keys);
}

function elements(
  what: string,
  type: number,
  flags: number,
  family: number,
  table: string,
  set: string,
  keys: readonly Uint8Array[],
): Request {
  return message(what, type, flags, family, [
    attribute(NFTA_SET_ELEM_LIST_TABLE, table),
    attribute(NFTA_SET_ELEM_LIST_SET, set),
    nested(
      NFTA_SET_ELEM_LIST_ELEMENTS,
      keys.map((key) => nested(NFTA_LIST_ELEM, [nested(NFTA_SET_ELEM_KEY, [attribute(NFTA_DATA_VALUE, key)])])),
    ),
  ]);
}

/** The rules of a chain, as the kernel tells them. ENOENT when it is not there. */
export function listRules(netlink: Netlink, family: number, table: string, chain: string): Message[] {
  return dump(
    netlink,
    message(`rules of ${table} ${chain}`, NFT_MSG_GETRULE, NLM_F_DUMP, family, [
      attribute(NFTA_RULE_TABLE, table),
      attribute(NFTA_RULE_CHAIN, chain),
    ]),
  );
}

/** The elements of a set, as the kernel tells them. ENOENT when it is not there. */
export function listElements(netlink: Netlink, family: number, table: string, set: string): Message[] {
  return dump(
    netlink,
    message(`set ${table} ${set}`, NFT_MSG_GETSETELEM, NLM_F_DUMP, family, [
      attribute(NFTA_SET_ELEM_LIST_TABLE, table),
      attribute(NFTA_SET_ELEM_LIST_SET, set),
    ]),
  );
}

/** Loads what is known of the packet besides its bytes. NFTA_META_DREG, _KEY */
export function meta(key: number, register = NFT_REG_1): Expression {
  return expression("meta", [attribute(1, be32(register)), attribute(2, be32(key))]);
}

/** Loads bytes of the packet. NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN */
export function load(base: number, offset: number, length: number, register = NFT_REG_1): Expression {
  return expression("payload", [
    attribute(1, be32(register)),
    attribute(2, be32(base)),
    attribute(3, be32(offset)),
    attribute(4, be32(length)),
  ]);
}

/** Goes on if the register holds the value. NFTA_CMP_SREG, _OP, _DATA */
export function equals(value: Uint8Array): Expression {
  return compare(NFT_CMP_EQ, value);
}

/** Goes on if the register holds anything else. */
export function differs(value: Uint8Array): Expression {
  return compare(NFT_CMP_NEQ, value);
}

function compare(operation: number, value: Uint8Array): Expression {
  return expression("cmp", [
    attribute(1, be32(NFT_REG_1)),
    attribute(2, be32(operation)),
    nested(3, [attribute(NFTA_DATA_VALUE, value)]),
  ]);
}

/** Keeps some bits of the register. NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR */
export function mask(bits: Uint8Array): Expression {
  return expression("bitwise", [
    attribute(1, be32(NFT_REG_1)),
    attribute(2, be32(NFT_REG_1)),
    attribute(3, be32(bits.length)),
    nested(4, [attribute(NFTA_DATA_VALUE, bits)]),
    nested(5, [attribute(NFTA_DATA_VALUE, new Uint8Array(bits.length))]),
  ]);
}

/** Goes on if the set has the register's value, or has it not. NFTA_LOOKUP_SET, _SREG, _FLAGS */
export function isIn(set: string, isWanted: boolean): Expression {
  return expression("lookup", [
    attribute(1, set),
    attribute(2, be32(NFT_REG_1)),
    attribute(5, be32(isWanted ? 0 : NFT_LOOKUP_F_INV)),
  ]);
}

/** Puts a value into the register. NFTA_IMMEDIATE_DREG, _DATA */
export function immediate(value: Uint8Array): Expression {
  return expression("immediate", [attribute(1, be32(NFT_REG_1)), nested(2, [attribute(NFTA_DATA_VALUE, value)])]);
}

/** The end of the packet's way through this chain: NF_DROP or NF_ACCEPT. */
export function verdict(code: number): Expression {
  return expression("immediate", [
    attribute(1, be32(NFT_REG_VERDICT)),
    nested(2, [nested(NFTA_DATA_VERDICT, [attribute(NFTA_VERDICT_CODE, be32(code))])]),
  ]);
}

/**
 * Writes the register into the packet and mends the checksum. NFTA_PAYLOAD_BASE, _OFFSET, _LEN, _SREG, _CSUM_TYPE,
 * _CSUM_OFFSET
 */
export function store(base: number, offset: number, length: number, checksumAt: number): Expression {
  return expression("payload", [
    attribute(2, be32(base)),
    attribute(3, be32(offset)),
    attribute(4, be32(length)),
    attribute(5, be32(NFT_REG_1)),
    attribute(6, be32(NFT_PAYLOAD_CSUM_INET)),
    attribute(7, be32(checksumAt)),
  ]);
}

function expression(name: string, attributes: readonly Uint8Array[]): Expression {
  return nested(NFTA_LIST_ELEM, [attribute(NFTA_EXPR_NAME, name), nested(NFTA_EXPR_DATA, attributes)]);
}

function message(
  what: string,
  type: number,
  flags: number,
  family: number,
  attributes: readonly Uint8Array[],
): Request {
  const header = new Uint8Array([family, 0, 0, 0]);
  return { what, bytes: encodeMessage((NFNL_SUBSYS_NFTABLES << 8) | type, flags, header, attributes) };
}

/** The resource id of a batch's edges is the subsystem, highest byte first. */
function batchEdge(what: string, type: number): Request {
  const header = new Uint8Array([NFPROTO_UNSPEC, 0, 0, NFNL_SUBSYS_NFTABLES]);
  return { what: `${what} batch`, bytes: encodeMessage(type, 0, header, []) };
}

export function be32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setInt32(0, value);
  return bytes;
}

export function be16(value: number): Uint8Array {
  return new Uint8Array([value >> 8, value]);
}
