/** The interfaces of a container whose program runs already: set by netd itself, in the container's network namespace. */
import type { InterfaceSetup } from "../ipc/interface-setup.ts";
import type { Endpoint } from "../ipc/netd.ts";
import { configureInterfaces } from "../netlink/configure.ts";
import { ipv4 } from "../netlink/ipv4.ts";
import { ipv6 } from "../netlink/ipv6.ts";
import type { Request } from "../netlink/message.ts";
import { replaceDefaultRoute } from "../netlink/route.ts";
import { replaceDefaultRoute6 } from "../netlink/route6.ts";
import { exchange, NETLINK_ROUTE, openNetlink } from "../netlink/socket.ts";
import { byGatewayRule } from "./gateway.ts";
import { inNamespace } from "./sandbox.ts";

/** Sets a new interface, if there is one, and leads the default routes where they belong among all endpoints. */
export function configureLive(
  namespace: number,
  endpoints: readonly Endpoint[],
  added: InterfaceSetup | undefined,
): void {
  const requests = defaultRoutes(endpoints);
  inNamespace(namespace, () => {
    if (added !== undefined) configureInterfaces([{ ...added, routes: [] }]);
    if (requests.length === 0) return;
    using netlink = openNetlink(NETLINK_ROUTE);
    exchange(netlink, requests);
  });
}

function defaultRoutes(endpoints: readonly Endpoint[]): Request[] {
  const ordered = endpoints.toSorted(byGatewayRule);
  const four = ordered.find(({ gateway }) => gateway !== "");
  const six = ordered.find(({ gateway6 }) => gateway6 !== undefined);
  return [
    ...(four === undefined ? [] : [replaceDefaultRoute(four.interface.index, ipv4(four.gateway))]),
    ...(six?.gateway6 === undefined ? [] : [replaceDefaultRoute6(six.interface.index, ipv6(six.gateway6))]),
  ];
}
