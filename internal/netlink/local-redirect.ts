/**
 * Port 53 of an address of this host, answered by sockets on other ports (nf_tables). The port in the packet is written
 * over on its way through loopback: no connection tracking, no NAT, and no program to run. What is asked goes out under
 * port 53 past every rule of the container and is changed last; what comes back is changed first, so that rules and
 * connection tracking only ever see port 53.
 */
import { u8 } from "./message.ts";
import {
  addChain,
  addRule,
  addTable,
  be16,
  comment,
  deleteRules,
  type Expression,
  equals,
  immediate,
  listRules,
  load,
  meta,
  NFPROTO_IPV4,
  NFT_META_L4PROTO,
  NFT_PAYLOAD_NETWORK_HEADER,
  NFT_PAYLOAD_TRANSPORT_HEADER,
  noteOf,
  sendBatch,
  store,
} from "./nftables.ts";
import { NETLINK_NETFILTER, type Netlink, openNetlink } from "./socket.ts";

const NF_INET_LOCAL_OUT = 3;
/** Before everything that looks at the packet (NF_IP_PRI_RAW), and after it. */
const FIRST = -300;
const LAST = 300;

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
export function redirectLocalPort(redirect: LocalRedirect): Netlink {
  using undo = new DisposableStack();
  const netlink = undo.use(openNetlink(NETLINK_NETFILTER));
  setRedirect(netlink, redirect);
  undo.move();
  return netlink;
}

/** Sets the rules again, over the socket that `redirectLocalPort` has given. */
export function setRedirect(netlink: Netlink, redirect: LocalRedirect): void {
  const { table } = redirect;
  sendBatch(netlink, [
    addTable(NFPROTO_IPV4, table),
    // Made if they are missing, then emptied: taking a chain away would make the kernel wait for 16 ms.
    addChain(NFPROTO_IPV4, table, { name: ASKED, hook: NF_INET_LOCAL_OUT, priority: LAST }),
    addChain(NFPROTO_IPV4, table, { name: ANSWERED, hook: NF_INET_LOCAL_OUT, priority: FIRST }),
    deleteRules(NFPROTO_IPV4, table, ASKED),
    deleteRules(NFPROTO_IPV4, table, ANSWERED),
    ...rulesOf(redirect).map(({ chain, expressions, note }) => addRule(NFPROTO_IPV4, table, chain, expressions, note)),
  ]);
}

/** True if the kernel has exactly these rules, over the socket that `redirectLocalPort` has given. */
export function isRedirected(netlink: Netlink, redirect: LocalRedirect): boolean {
  return [ASKED, ANSWERED].every((chain) => {
    const wanted = rulesOf(redirect).filter((rule) => rule.chain === chain);
    const there = listRules(netlink, NFPROTO_IPV4, redirect.table, chain).map(noteOf);
    return (
      wanted.length === there.length && wanted.every(({ note }, at) => Buffer.compare(note, there[at] ?? EMPTY) === 0)
    );
  });
}

const ASKED = "asked";
const ANSWERED = "answered";
const EMPTY = new Uint8Array(0);

interface Rule {
  readonly chain: string;
  readonly expressions: readonly Expression[];
  /** Kept with it: whoever changes a rule takes it away. */
  readonly note: Uint8Array;
}

function rulesOf({ address, port, tcpPort, udpPort }: LocalRedirect): Rule[] {
  const rule = (chain: string, expressions: readonly Expression[]): Rule => ({
    chain,
    expressions,
    note: comment(`ctr ${Bun.hash(Buffer.concat(expressions)).toString(16)}`),
  });
  const rules = (protocol: keyof typeof PROTOCOLS, to: number) => [
    rule(ASKED, rewrite(protocol, DESTINATION, address, port, to)),
    rule(ANSWERED, rewrite(protocol, SOURCE, address, to, port)),
  ];
  return [...rules("udp", udpPort), ...rules("tcp", tcpPort)];
}

/** Of this protocol, with this address and port at that end: another port in its place. */
function rewrite(
  protocol: keyof typeof PROTOCOLS,
  end: { readonly addressAt: number; readonly portAt: number },
  address: Uint8Array,
  from: number,
  to: number,
): Expression[] {
  const { number, checksumAt } = PROTOCOLS[protocol];
  return [
    meta(NFT_META_L4PROTO),
    equals(u8(number)),
    load(NFT_PAYLOAD_NETWORK_HEADER, end.addressAt, 4),
    equals(address),
    load(NFT_PAYLOAD_TRANSPORT_HEADER, end.portAt, 2),
    equals(be16(from)),
    immediate(be16(to)),
    store(NFT_PAYLOAD_TRANSPORT_HEADER, end.portAt, 2, checksumAt),
  ];
}
