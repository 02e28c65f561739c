/**
 * Connection tracking: forgetting UDP flows. The kernel looks at the rules for a flow's first packet only, and a UDP flow
 * ends when nobody has used it for a while: a client that keeps sending to a published port would be led to the last
 * container for ever (ctnetlink, linux/netfilter/nfnetlink_conntrack.h).
 */
import { ENOENT } from "../errors/error.ts";
import {
  type Attributes,
  attribute,
  decodeAttributes,
  encodeMessage,
  NLM_F_DUMP,
  nested,
  nestedOf,
  type Request,
  viewOf,
} from "./message.ts";
import { dump, exchange, type Netlink } from "./socket.ts";

const NFNL_SUBSYS_CTNETLINK = 1 << 8;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const CTA_ID = 12;
const IPPROTO_UDP = 17;
const AF_UNSPEC = 0;
const NFGENMSG_BYTES = 4;

/** Forgets every UDP flow, of IPv4 or IPv6, that was sent to one of these ports of the host. */
export function forgetUdpFlows(netlink: Netlink, ports: ReadonlySet<number>): void {
  const listing: Request = { what: "list flows", bytes: message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, []) };
  for (const { payload } of dump(netlink, listing)) {
    const flow = decodeAttributes(payload, NFGENMSG_BYTES);
    if (isUdpTo(flow, ports)) exchange(netlink, [deletion(payload[0] ?? AF_UNSPEC, flow)]);
  }
}

/** True for a flow whose first packet was UDP to one of the ports. */
export function isUdpTo(flow: Attributes, ports: ReadonlySet<number>): boolean {
  const protocol = nestedOf(nestedOf(flow, CTA_TUPLE_ORIG), CTA_TUPLE_PROTO);
  const port = protocol.get(CTA_PROTO_DST_PORT);
  // The port as it travels, highest byte first.
  return protocol.get(CTA_PROTO_NUM)?.[0] === IPPROTO_UDP && port?.length === 2 && ports.has(viewOf(port).getUint16(0));
}

/** Removes this very flow (its id says so); one that has ended meanwhile is fine. */
function deletion(family: number, flow: Attributes): Request {
  const original = flow.get(CTA_TUPLE_ORIG);
  const id = flow.get(CTA_ID);
  return {
    what: "delete flow",
    bytes: message(IPCTNL_MSG_CT_DELETE, 0, family, [
      ...(original === undefined ? [] : [nested(CTA_TUPLE_ORIG, [original])]),
      ...(id === undefined ? [] : [attribute(CTA_ID, id)]),
    ]),
    mayFailWith: [ENOENT],
  };
}

function message(type: number, flags: number, family: number, attributes: readonly Uint8Array[]): Uint8Array {
  // struct nfgenmsg: family, version, resource id.
  return encodeMessage(NFNL_SUBSYS_CTNETLINK | type, flags, new Uint8Array([family, 0, 0, 0]), attributes);
}
