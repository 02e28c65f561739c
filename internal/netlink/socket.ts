/** A netlink socket and the exchange over it: requests out in one send, answers in until the last is answered. */
import { SyscallError } from "../errors/error.ts";
import type { Fd } from "../sys/fd.ts";
import {
  AF_NETLINK,
  BPF_IF_EQUAL,
  BPF_LOAD_BYTE,
  BPF_LOAD_HALF,
  BPF_RETURN,
  bind,
  type FilterStep,
  filterIncoming,
  recv,
  SOCK_NONBLOCK,
  SOCK_RAW,
  send,
  setsockoptInt,
  socket,
} from "../sys/socket.ts";
import {
  decodeError,
  decodeMessages,
  type Message,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  type Request,
  stamp,
  viewOf,
} from "./message.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
/** What the kernel fills at most in a dump's datagram (`NLMSG_GOODSIZE`, netlink(7)). */
const RECEIVE_BYTES = 32768;

/** An open netlink socket; answers go to its one reader. */
export interface Netlink extends Disposable {
  readonly fd: Fd;
  readonly buffer: Uint8Array;
  sequence: number;
}

/** Opens a socket of a netlink family in the calling thread's network namespace. */
export function openNetlink(family: number): Netlink {
  const fd = socket(AF_NETLINK, SOCK_RAW, family);
  try {
    // Answers name what was wrong and do not repeat the request: netlink(7), kernel 4.3 and 4.12.
    setsockoptInt(fd.number, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    setsockoptInt(fd.number, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  } catch (error) {
    fd.close();
    throw error;
  }
  return { fd, buffer: new Uint8Array(RECEIVE_BYTES), sequence: 0, [Symbol.dispose]: () => fd.close() };
}

/** Messages of one type; of those about one family of addresses, where the first byte of all says which. */
export interface News {
  readonly type: number;
  readonly addressFamily: number;
}

/**
 * A non-blocking socket that hears of changes in `groups` (a mask of `1 << (RTNLGRP_x - 1)`), or only of `wanted` among
 * them: one attach is some twenty changes of links. The caller owns it.
 */
export function openNetlinkGroups(family: number, groups: number, wanted?: News): Fd {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, family);
  try {
    if (wanted !== undefined) filterIncoming(fd.number, newsFilter(wanted));
    const address = new Uint8Array(12); // struct sockaddr_nl: family, pad, pid, groups
    viewOf(address).setUint16(0, AF_NETLINK, true);
    viewOf(address).setUint32(8, groups, true);
    bind(fd.number, address, "netlink groups");
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** The kernel tells each change in a datagram of its own. Loads are of the highest byte first, the type is of the lowest. */
function newsFilter({ type, addressFamily }: News): FilterStep[] {
  return [
    { code: BPF_LOAD_HALF, value: 4 },
    { code: BPF_IF_EQUAL, value: ((type & 0xff) << 8) | (type >> 8), ifFalse: 3 },
    { code: BPF_LOAD_BYTE, value: 16 },
    { code: BPF_IF_EQUAL, value: addressFamily, ifFalse: 1 },
    { code: BPF_RETURN, value: 0xffffffff },
    { code: BPF_RETURN },
  ];
}

/**
 * Sends the requests in one datagram and returns what they were answered with, acknowledgements left out. The kernel
 * works through all of them, in order, even after one failed; the first failure that counts is thrown, with the
 * request's `what` as path.
 */
export function exchange(netlink: Netlink, requests: readonly Request[]): Message[] {
  const first = netlink.sequence + 1;
  let total = 0;
  for (const [index, request] of requests.entries()) {
    // A failure is always answered; success only at the end, where it says that all are done.
    stamp(request.bytes, first + index, index === requests.length - 1);
    total += request.bytes.length;
  }
  const datagram = new Uint8Array(total);
  let at = 0;
  for (const { bytes } of requests) {
    datagram.set(bytes, at);
    at += bytes.length;
  }
  netlink.sequence += requests.length;
  send(netlink.fd.number, datagram);

  const answers: Message[] = [];
  let failure: SyscallError | undefined;
  for (;;) {
    for (const message of receive(netlink)) {
      const request = requests[message.sequence - first];
      if (request === undefined) continue; // an answer to an exchange that was given up
      if (message.type !== NLMSG_ERROR) {
        answers.push(message);
        continue;
      }
      const { errno, words } = decodeError(message);
      if (errno !== 0 && request.mayFailWith?.includes(errno) !== true) {
        failure ??= new SyscallError(
          "netlink",
          errno,
          words === undefined ? request.what : `${request.what} (${words})`,
        );
      }
      if (message.sequence !== netlink.sequence) continue;
      if (failure !== undefined) throw failure;
      return answers;
    }
  }
}

/** All that a dump request lists. A list that changed while it was read is read again. */
export function dump(netlink: Netlink, request: Request): Message[] {
  for (;;) {
    const sequence = ++netlink.sequence;
    stamp(request.bytes, sequence, false);
    send(netlink.fd.number, request.bytes);
    const answers = readDump(netlink, request, sequence);
    if (answers !== undefined) return answers;
  }
}

function readDump(netlink: Netlink, request: Request, sequence: number): Message[] | undefined {
  const answers: Message[] = [];
  let isInterrupted = false;
  for (;;) {
    for (const message of receive(netlink)) {
      if (message.sequence !== sequence) continue;
      isInterrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
      if (message.type === NLMSG_DONE) return isInterrupted ? undefined : answers;
      if (message.type === NLMSG_ERROR) throw new SyscallError("netlink", decodeError(message).errno, request.what);
      answers.push(message);
    }
  }
}

function receive(netlink: Netlink): Message[] {
  const size = recv(netlink.fd.number, netlink.buffer);
  return [...decodeMessages(netlink.buffer.slice(0, size))];
}
