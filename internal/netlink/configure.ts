/** What a container's init does with its network: one socket, one send. */
import type { InterfaceSetup } from "../ipc/interface-setup.ts";
import { ipv4, networkOf, parseCidr } from "./ipv4.ts";
import { ipv6 } from "./ipv6.ts";
import { announceAddresses, LOOPBACK_INDEX, setLinkUp, withoutIpv6Address } from "./link.ts";
import type { Request } from "./message.ts";
import { addAddress, addRoute } from "./route.ts";
import { addAddress6, replaceDefaultRoute6 } from "./route6.ts";
import { exchange, NETLINK_ROUTE, openNetlink } from "./socket.ts";

/**
 * Brings up loopback and, when given, the interfaces netd put here: address, then up (which announces the address), then
 * routes. Runs in the thread whose network namespace is meant. Throws SyscallError; setting the same again succeeds.
 */
export function configureInterfaces(interfaces: readonly InterfaceSetup[]): void {
  using netlink = openNetlink(NETLINK_ROUTE);
  exchange(netlink, [setLinkUp(LOOPBACK_INDEX), ...interfaces.flatMap(requestsFor)]);
}

export const DEFAULT_ROUTE = "0.0.0.0/0";
export const DEFAULT_ROUTE6 = "::/0";

/** 169.254.0.0/16 and fe80::/64 (RFC 3927, RFC 4291). */
const LINK_LOCAL_PREFIX = 16;
const LINK_LOCAL_PREFIX6 = 64;

function requestsFor(setup: InterfaceSetup): Request[] {
  const { index, prefixLength, address6, prefixLength6 = 64 } = setup;
  return [
    announceAddresses(index),
    ...(address6 === undefined ? [withoutIpv6Address(index)] : [addAddress6(index, ipv6(address6), prefixLength6)]),
    addAddress({ index, address: ipv4(setup.address), prefixLength }),
    ...(setup.linkLocal ?? []).map((text) =>
      text.includes(":")
        ? addAddress6(index, ipv6(text), LINK_LOCAL_PREFIX6)
        : addAddress({ index, address: ipv4(text), prefixLength: LINK_LOCAL_PREFIX }),
    ),
    setLinkUp(index),
    ...setup.routes.map(({ destination, gateway }) => {
      if (destination === DEFAULT_ROUTE6) return replaceDefaultRoute6(index, ipv6(gateway ?? ""));
      const { address, prefixLength: length } = parseCidr(destination);
      const subnet = { network: networkOf(address, length), prefixLength: length };
      return addRoute(index, subnet, gateway === undefined ? undefined : ipv4(gateway));
    }),
  ];
}
