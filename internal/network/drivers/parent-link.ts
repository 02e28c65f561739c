/**
 * The link of the host's that macvlan and ipvlan links are on top of: the user's own, a VLAN of it that is made here
 * (`eth0.30`), or, where none was named, a link that leads nowhere: then only the network's containers reach each other.
 */
import { CtrError, ENODEV, EOPNOTSUPP, isErrno } from "../../errors/error.ts";
import { addDummy, addVlan, decodeLink, getLink, type Link, setAlias, setLinkUpByName } from "../../netlink/link.ts";
import type { Request } from "../../netlink/message.ts";
import { exchange, type Netlink } from "../../netlink/socket.ts";
import { OPTION } from "../plan.ts";
import type { NetworkRow } from "../store.ts";
import { removeLink } from "./bridge-device.ts";
import { aliasOf } from "./check-bridge.ts";
import type { DriverContext } from "./driver.ts";

const VLAN_NAME = /^(.+)\.([0-9]{1,4})$/;
const MAX_VLAN = 4094; // IEEE 802.1Q

/** The number of the network's parent, made if it is one of ours to make. Throws CtrError `invalid` for one that is not there. */
export function ensureParent(context: DriverContext, network: NetworkRow): number {
  const { netlink } = context;
  const name = parentName(network);
  const present = findLink(netlink, name);
  if (present !== undefined) return present.index;
  const request = name === dummyName(network) ? addDummy(name) : vlanOf(netlink, network, name);
  make(context, network, name, request);
  const made = findLink(netlink, name);
  if (made === undefined) throw new CtrError("internal", `the kernel did not describe ${name}`);
  return made.index;
}

/** What keeps a network that is used from working, a line each. */
export function parentDifferences({ netlink }: DriverContext, network: NetworkRow): string[] {
  const name = parentName(network);
  return findLink(netlink, name) === undefined ? [missing(name, network)] : [];
}

/** Takes back what `ensureParent` has made for this network; a link of the host's stays. */
export function removeParent({ netlink, root }: DriverContext, network: NetworkRow): void {
  const name = parentName(network);
  if (findLink(netlink, name)?.alias === markOf(root, network)) removeLink(netlink, name);
}

function parentName(network: NetworkRow): string {
  return network.settings.options?.[OPTION.parent] || dummyName(network);
}

/** As Docker names it. */
function dummyName({ id }: NetworkRow): string {
  return `dm-${id.slice(0, 12)}`;
}

/** What tells our links from the host's. */
function markOf(root: string, { id }: NetworkRow): string {
  return `${aliasOf(root).slice(0, 200)} ${id.slice(0, 12)}`;
}

function missing(name: string, network: NetworkRow): string {
  return `the parent interface ${name} of network ${network.name} does not exist`;
}

function findLink(netlink: Netlink, name: string): Link | undefined {
  try {
    const [answer] = exchange(netlink, [getLink(name)]);
    return answer === undefined ? undefined : decodeLink(answer);
  } catch (error) {
    if (isErrno(error, ENODEV)) return undefined;
    throw error;
  }
}

function vlanOf(netlink: Netlink, network: NetworkRow, name: string): Request {
  const [, base = "", id = ""] = VLAN_NAME.exec(name) ?? [];
  const below = base === "" ? undefined : findLink(netlink, base);
  if (below === undefined) throw new CtrError("invalid", missing(name, network));
  if (Number(id) < 1 || Number(id) > MAX_VLAN)
    throw new CtrError("invalid", `invalid parent interface ${name}: a VLAN is from 1 to ${MAX_VLAN}`);
  return addVlan(name, below.index, Number(id));
}

function make({ netlink, root }: DriverContext, network: NetworkRow, name: string, request: Request): void {
  try {
    // With its mark in one exchange: what has none is not ours to remove.
    exchange(netlink, [request, setAlias(name, markOf(root, network)), setLinkUpByName(name)]);
  } catch (error) {
    if (!isErrno(error, EOPNOTSUPP)) throw error;
    throw new CtrError("unsupported", `this kernel cannot make the link ${name}: name another with -o parent=`, {
      cause: error,
    });
  }
}
