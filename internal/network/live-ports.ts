/** Where the published ports of a container that runs are: with its default route (Docker's rule), wherever that moves. */
import type { Endpoint, PortBinding, PortRequest } from "../ipc/netd.ts";
import type { Driver } from "./drivers/driver.ts";
import { byGatewayRule } from "./gateway.ts";
import type { EndpointRecord, NetworkRow } from "./store.ts";

/** An attached endpoint with all that is needed to move ports to or from it. */
export interface PortPlace {
  readonly endpoint: EndpointRecord;
  readonly described: Endpoint;
  readonly network: NetworkRow;
  readonly driver: Driver;
}

/**
 * Brings the ports to the endpoint that has the default route, or takes them back where none has one. `before` are the
 * bindings of an endpoint that has just gone: host ports that were chosen stay as they were.
 */
export async function settlePorts(
  places: readonly PortPlace[],
  wanted: readonly PortRequest[],
  before: readonly PortBinding[] = [],
): Promise<void> {
  const [gateway] = places
    .filter(({ described, driver }) => described.gateway !== "" && driver.publish !== undefined)
    .toSorted((a, b) => byGatewayRule(a.described, b.described));
  const holders = places.filter(({ endpoint }) => endpoint.ports.length > 0);
  if (holders.length === (gateway === undefined ? 0 : 1) && holders[0] === gateway) return;
  const bound = [...before, ...holders.flatMap(({ endpoint }) => endpoint.ports)];
  for (const { driver, network, endpoint } of holders)
    if (endpoint.id !== gateway?.endpoint.id) await driver.unpublish?.(network, endpoint);
  if (gateway === undefined || gateway.endpoint.ports.length > 0 || wanted.length === 0) return;
  await gateway.driver.publish?.(gateway.network, gateway.endpoint, asBound(wanted, bound));
}

/** The requests, with the host ports that they had got. */
function asBound(wanted: readonly PortRequest[], bound: readonly PortBinding[]): PortRequest[] {
  const left = [...bound];
  return wanted.map((request) => {
    const at = left.findIndex(
      ({ containerPort, protocol, hostPort }) =>
        containerPort === request.containerPort &&
        protocol === request.protocol &&
        hostPort >= (request.hostPort ?? 1) &&
        hostPort <= (request.hostPortLast ?? request.hostPort ?? 65535),
    );
    const [found] = at < 0 ? [] : left.splice(at, 1);
    if (found === undefined) return request;
    const { hostPortLast: _, ...rest } = request;
    return { ...rest, hostPort: found.hostPort };
  });
}
