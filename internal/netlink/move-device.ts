/**
 * Network devices of the host given to a network namespace (runtime-spec config-linux.md#network-devices): moved and
 * renamed by one request, with the addresses that are to stay, and set up. And taken back, for a start that failed.
 */
import { CtrError, ENODEV, isErrno } from "../errors/error.ts";
import { decodeLink, getLink, type Link, listLinks, moveLink, setLinkUp } from "./link.ts";
import {
  decodePermanentAddress,
  listAllAddresses,
  type PermanentAddress,
  restoreAddress,
} from "./permanent-address.ts";
import { dump, exchange, type Netlink } from "./socket.ts";

/** Where a device goes from or to: the namespace, and a socket that was opened in it. */
export interface NamespaceEnd {
  readonly namespaceFd: number;
  readonly netlink: Netlink;
}

/** A device that was moved; what it takes to bring it back. */
export interface MovedDevice {
  readonly index: number;
  /** What it was called before. */
  readonly name: string;
  readonly wasUp: boolean;
  readonly addresses: readonly PermanentAddress[];
}

/** Moves the device called `name`; `newName` may end in `%d`, where the kernel puts a number. Throws naming the device. */
export function moveDevice(from: NamespaceEnd, to: NamespaceEnd, name: string, newName: string): MovedDevice {
  const link = findLink(from.netlink, name);
  if (link === undefined) throw new CtrError("not-found", `network device ${name}: no such device`);
  const isTemplate = newName.endsWith("%d");
  // Before anything changes: the kernel would move it first, and fail to rename it then.
  if (!isTemplate && findLink(to.netlink, newName) !== undefined)
    throw new CtrError("conflict", `network device ${name}: the container's network has a ${newName} already`);
  const addresses = addressesOf(from.netlink, link.index);
  const others = new Set(linksOf(to.netlink).map(({ index }) => index));
  const given = newName === name ? {} : { newName };
  exchange(from.netlink, [moveLink({ index: link.index, name, namespaceFd: to.namespaceFd, ...given })]);
  const index = isTemplate ? newestOf(to.netlink, others) : findLink(to.netlink, newName)?.index;
  if (index === undefined) throw new CtrError("internal", `network device ${name}: gone after it was moved`);
  const moved = { index, name, wasUp: link.isUp, addresses };
  try {
    exchange(to.netlink, [...addresses.map((address) => restoreAddress(index, address)), setLinkUp(index)]);
    return moved;
  } catch (error) {
    returnDevice(from, to, moved);
    throw error;
  }
}

/** Brings it back as it was: its name, its addresses, up or down. */
export function returnDevice(home: NamespaceEnd, away: NamespaceEnd, moved: MovedDevice): void {
  const { index, name, wasUp, addresses } = moved;
  exchange(away.netlink, [moveLink({ index, name, namespaceFd: home.namespaceFd, newName: name })]);
  const returned = findLink(home.netlink, name);
  if (returned === undefined) return;
  const restored = addresses.map((address) => restoreAddress(returned.index, address));
  exchange(home.netlink, wasUp ? [...restored, setLinkUp(returned.index)] : restored);
}

function findLink(netlink: Netlink, name: string): Link | undefined {
  try {
    return exchange(netlink, [getLink(name)]).flatMap((message) => decodeLink(message) ?? [])[0];
  } catch (error) {
    if (isErrno(error, ENODEV)) return undefined;
    throw error;
  }
}

function linksOf(netlink: Netlink): readonly Link[] {
  return dump(netlink, listLinks()).flatMap((message) => decodeLink(message) ?? []);
}

/** The one that was not there before. */
function newestOf(netlink: Netlink, others: ReadonlySet<number>): number | undefined {
  return linksOf(netlink).find(({ index }) => !others.has(index))?.index;
}

function addressesOf(netlink: Netlink, index: number): readonly PermanentAddress[] {
  const all = dump(netlink, listAllAddresses()).flatMap((message) => decodePermanentAddress(message) ?? []);
  return all.filter((address) => address.index === index);
}
