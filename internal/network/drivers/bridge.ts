/**
 * The bridge driver: one Linux bridge per network, one veth pair per endpoint. Nothing here waits for a container, and
 * only the packet filter is somebody else's program.
 */
import { ENODEV, isErrno, withContext } from "../../errors/error.ts";
import type { AttachRequest, Endpoint, PortBinding, PortRequest } from "../../ipc/netd.ts";
import type { Family } from "../../iptables/restore.ts";
import { forgetUdpFlows } from "../../netlink/conntrack.ts";
import { disablePort, setHairpin } from "../../netlink/link.ts";
import { formatMac, parseMac, randomMac } from "../../netlink/mac.ts";
import { exchange, NETLINK_NETFILTER, type Netlink, openNetlink } from "../../netlink/socket.ts";
import { randomId } from "../id.ts";
import { OPTION } from "../plan.ts";
import { leaseAddresses, releaseAddresses, validateAddresses } from "../pools.ts";
import { holdBinding, holdPorts, releasePorts, validatePort } from "../ports.ts";
import { openSandbox } from "../sandbox.ts";
import {
  deleteNetwork,
  type EndpointRecord,
  endpointOfInterface,
  findNetwork,
  forgetEndpoint,
  listEndpoints,
  markAttached,
  markReleased,
  type NetworkRow,
  reserveEndpoint,
  setPorts,
} from "../store.ts";
import { type Bridge, makeBridge, makeVeth, removeLink, removeOwnBridge } from "./bridge-device.ts";
import { checkBridge, isHeld, VETH_NAME } from "./check-bridge.ts";
import type { Driver, DriverContext } from "./driver.ts";
import { describe, settingsOf, USUAL_MTU } from "./endpoint.ts";

/** How long a container's namespace may take to end and with it the veth, before the veth is removed by hand. */
const LINGER_MS = 400;

export function createBridgeDriver(context: DriverContext): Driver {
  const { store, netlink, filter, ports, log } = context;
  const bridges = new Map<string, Bridge>();
  /** The rules of all bridges are in place, or about to be. */
  let established: Promise<unknown> | undefined;
  /** When endpoints were released, in ms; those of an earlier netd are not in it. */
  const releasedAt = new Map<string, number>();
  let isLingering = false;
  let flows: Netlink | undefined;

  /** The bridge, its device made or taken over, its rules in place. */
  const ready = async (network: NetworkRow): Promise<Bridge> => {
    let bridge = bridges.get(network.id);
    if (bridge === undefined) {
      bridge = makeBridge(context, network);
      bridges.set(network.id, bridge);
      const { device, subnet, prefix_length, gateway } = bridge.network;
      const isAsRecorded = device === network.device && subnet === network.subnet && gateway === network.gateway;
      if (!isAsRecorded || prefix_length !== network.prefix_length) established = undefined;
    }
    if (established === undefined) {
      const isEstablished = filter.establish();
      established = isEstablished;
      // Tried again by the next one who needs it; this one hears why it failed.
      isEstablished.catch(() => {
        if (established === isEstablished) established = undefined;
      });
    }
    await established;
    return bridge;
  };

  /** Nothing of the endpoint is left in the kernel. */
  const forget = (id: string, hostInterface: string): void => {
    releasedAt.delete(id);
    filter.guard.remove(hostInterface);
    forgetEndpoint(store, id);
  };

  /** Looks, later, whether the veths of released endpoints went with their namespaces, and removes those that did not. */
  const linger = (): void => {
    if (isLingering) return;
    isLingering = true;
    setTimeout(() => {
      removeLingering()
        .catch((error: unknown) => log(withContext("remove links of released endpoints", error).message))
        .finally(() => {
          isLingering = false;
          if (releasedAt.size > 0) linger();
        });
    }, LINGER_MS);
  };
  const removeLingering = async (): Promise<void> => {
    const latest = performance.now() - LINGER_MS;
    for (const { id, state, hostInterface } of listEndpoints(store)) {
      if (state !== "released" || (releasedAt.get(id) ?? 0) > latest) continue;
      removeLink(netlink, hostInterface);
      forget(id, hostInterface);
      await Bun.sleep(0); // removing takes the kernel some 20 ms: requests are heard in between
    }
  };

  const detach = async (network: NetworkRow, endpoint: EndpointRecord, mode: "later" | "now"): Promise<void> => {
    const { id, hostInterface, address } = endpoint;
    using _begun = network.device === null ? undefined : filter.begin(familiesOf(endpoint.ports));
    markReleased(store, id);
    releasePorts(ports, id);
    if (mode === "now") {
      removeLink(netlink, hostInterface);
      forget(id, hostInterface);
    } else {
      releasedAt.set(id, performance.now());
      isolate(hostInterface, id);
    }
    try {
      if (endpoint.ports.length > 0 && network.device !== null) {
        await filter.unpublish(endpoint);
        forgetFlows(endpoint.ports);
      }
    } finally {
      // Only now may another container have the address: until here the ports led to it.
      const pools = bridges.get(network.id)?.pools;
      if (pools !== undefined) releaseAddresses(pools, address, endpoint.settings.address6);
    }
  };

  /** Flows of before the rules changed are told of it. */
  const forgetFlows = (changed: readonly PortBinding[]): void => {
    const udp = changed.filter(({ protocol }) => protocol === "udp").map(({ hostPort }) => hostPort);
    if (udp.length === 0) return;
    try {
      // Kept open: closing it would wait until the rules that were just taken away are out of use (nft-commits.ts).
      flows ??= openNetlink(NETLINK_NETFILTER);
      forgetUdpFlows(flows, new Set(udp));
    } catch (error) {
      // A kernel without ctnetlink: the rules are right, only flows that are under way take their time.
      log(withContext("forget UDP flows", error).message);
    }
  };

  /** Nothing passes any more, though the link may still be there for a while. */
  const isolate = (hostInterface: string, id: string): void => {
    try {
      exchange(netlink, [disablePort(hostInterface)]);
      linger();
    } catch (error) {
      if (!isErrno(error, ENODEV)) throw error;
      forget(id, hostInterface);
    }
  };

  const attach = async (network: NetworkRow, request: AttachRequest): Promise<Endpoint> => {
    // Nobody gets into a network without a way out.
    const wanted = network.settings.internal === true ? [] : request.ports;
    using _begun = filter.begin(wanted.length === 0 ? [] : [4]);
    const sandbox = openSandbox(request.sandbox, context.bootId);
    using namespace = sandbox.namespace;
    const bridge = await ready(network);
    await using undo = new AsyncDisposableStack();

    const id = randomId();
    const { address, address6 } = leaseAddresses(bridge.pools, request);
    // The pools may be others by then: the bridge may have been made again.
    undo.defer(() => releaseAddresses(bridges.get(network.id)?.pools ?? bridge.pools, address, address6));
    const hostIp = network.settings.options?.[OPTION.hostBinding];
    const bindings = holdPorts(ports, id, wanted, { hostIp, hasIpv6: address6 !== undefined });
    undo.defer(() => releasePorts(ports, id));
    const macAddress = request.macAddress === undefined ? randomMac() : parseMac(request.macAddress);
    const reserved: EndpointRecord = {
      id,
      networkId: network.id,
      containerId: request.containerId,
      name: request.name,
      state: "reserved",
      sandbox: sandbox.record,
      hostInterface: `veth${randomId().slice(0, 7)}`,
      interfaceIndex: 0,
      macAddress: formatMac(macAddress),
      address,
      ports: bindings,
      settings: {
        ...settingsOf(store, request, address6),
        ...(bridge.mtu === USUAL_MTU ? {} : { mtu: bridge.mtu }),
      },
    };
    reserveEndpoint(store, reserved);
    undo.defer(() => forgetEndpoint(store, id));

    // Before the port is there: no frame passes that was not looked at.
    undo.defer(() => filter.guard.remove(reserved.hostInterface));
    filter.guard.add(network, reserved);
    undo.defer(() => removeLink(netlink, reserved.hostInterface));
    const interfaceIndex = makeVeth(netlink, bridge, reserved, macAddress, namespace.number);
    markAttached(store, id, interfaceIndex);
    const attached: EndpointRecord = { ...reserved, state: "attached", interfaceIndex };
    if (bindings.length > 0) {
      undo.defer(async () => {
        markReleased(store, id);
        // What failed may fail again: the reason that is told is the first one.
        await filter.unpublish(attached).catch((error: unknown) => log(withContext("take back rules", error).message));
      });
      await filter.publish(attached);
      forgetFlows(bindings);
    }
    undo.move();
    return describe(bridge.network, attached);
  };

  const publish = async (
    network: NetworkRow,
    endpoint: EndpointRecord,
    wanted: readonly PortRequest[],
  ): Promise<void> => {
    const { id, hostInterface, settings } = endpoint;
    await using undo = new AsyncDisposableStack();
    const hasIpv6 = settings.address6 !== undefined;
    // What the other network could lead to an IPv6 address, this one may not.
    const possible = wanted.filter(({ hostIp = "" }) => hasIpv6 || !hostIp.includes(":"));
    const hostIp = network.settings.options?.[OPTION.hostBinding];
    const bindings = holdPorts(ports, id, possible, { hostIp, hasIpv6 });
    undo.defer(() => releasePorts(ports, id));
    setPorts(store, id, bindings);
    undo.defer(() => setPorts(store, id, []));
    exchange(netlink, [setHairpin(hostInterface)]);
    await filter.publish({ ...endpoint, ports: bindings });
    forgetFlows(bindings);
    undo.move();
  };

  const unpublish = async (_network: NetworkRow, endpoint: EndpointRecord): Promise<void> => {
    setPorts(store, endpoint.id, []);
    releasePorts(ports, endpoint.id);
    await filter.unpublish(endpoint);
    forgetFlows(endpoint.ports);
  };

  /** The published ports of an endpoint that was there before us. */
  const holdAll = ({ id, name, ports: bindings }: EndpointRecord): void => {
    for (const binding of bindings) {
      try {
        if (!isHeld(ports, id, binding)) holdBinding(ports, id, binding);
      } catch (error) {
        // The rules still lead to the container: say it, and let the traffic flow.
        log(withContext(`hold a published port of ${name}`, error).message);
      }
    }
  };

  return {
    publish,
    unpublish,
    create: async (network) => {
      established = undefined;
      await ready(network);
    },
    restore: (network) => {
      ready(network).catch((error: unknown) => log(withContext(`restore network ${network.name}`, error).message));
    },
    check: (network) => checkBridge(context, network),
    repair: async (network) => {
      if (checkBridge(context, network).length === 0) return;
      bridges.delete(network.id);
      await ready(network);
      for (const endpoint of listEndpoints(store)) if (endpoint.networkId === network.id) holdAll(endpoint);
    },
    remove: async (network) => {
      bridges.delete(network.id);
      if (network.device !== null) removeOwnBridge(context, network.device);
      deleteNetwork(store, network.id);
      await filter.establish();
    },
    validate: (network, request) => {
      for (const port of request.ports) validatePort(port, network.settings.ipv6 === true);
      validateAddresses(network, request);
      if (request.macAddress !== undefined) parseMac(request.macAddress);
    },
    adopt: (network, endpoint) => {
      if (endpoint.state !== "attached" || endpoint.address === undefined) return;
      let bridge = bridges.get(network.id);
      if (bridge === undefined) {
        bridge = makeBridge(context, network);
        bridges.set(network.id, bridge);
        ready(network).catch((error: unknown) => log(withContext("put back the packet filter", error).message));
      }
      holdAll(endpoint);
    },
    attach,
    detach,
    describe,
    isWaiting: () => isLingering,
    linkGone: (name) => {
      for (const [id, { device }] of [...bridges]) {
        if (device !== name) continue;
        bridges.delete(id);
        established = undefined;
        const network = findNetwork(store, id);
        if (network === undefined || !listEndpoints(store).some(({ state }) => state === "attached")) continue;
        log(`${device} was removed under running containers: making it again`);
        ready(network).catch((error: unknown) => log(withContext(`make ${device} again`, error).message));
      }
      if (!VETH_NAME.test(name)) return;
      const endpoint = endpointOfInterface(store, name);
      if (endpoint?.state === "released") forget(endpoint.id, name);
    },
  };
}

/** Whose packet filters lead to these. */
function familiesOf(ports: readonly PortBinding[]): readonly Family[] {
  return ([4, 6] as const).filter((family) => ports.some(({ hostIp }) => hostIp.includes(":") === (family === 6)));
}
