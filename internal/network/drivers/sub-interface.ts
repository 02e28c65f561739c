/**
 * The drivers macvlan and ipvlan: an endpoint is a link of its own on top of one of the host's, made in the container's
 * network namespace. What it sends is on the parent's wire: no bridge, no rules, no published ports.
 */
import { CtrError, ENODEV, EOPNOTSUPP, isErrno } from "../../errors/error.ts";
import type { AttachRequest, Endpoint } from "../../ipc/netd.ts";
import { addSubInterface, decodeLink, deleteLink, getLink, IPVLAN_MODES, MACVLAN_MODES } from "../../netlink/link.ts";
import { formatMac, parseMac, randomMac } from "../../netlink/mac.ts";
import { exchange, NETLINK_ROUTE, openNetlink } from "../../netlink/socket.ts";
import { randomId } from "../id.ts";
import { OPTION } from "../plan.ts";
import { createPools, leaseAddresses, type Pools, releaseAddresses, validateAddresses } from "../pools.ts";
import { inNamespace, isAlive, openSandbox } from "../sandbox.ts";
import {
  deleteNetwork,
  type EndpointRecord,
  forgetEndpoint,
  listEndpoints,
  markAttached,
  type NetworkRow,
  reserveEndpoint,
} from "../store.ts";
import type { Driver, DriverContext } from "./driver.ts";
import { describe, settingsOf } from "./endpoint.ts";
import { ensureParent, parentDifferences, removeParent } from "./parent-link.ts";

export type Kind = "macvlan" | "ipvlan";

/** One of the two. */
export function createSubInterfaceDriver(context: DriverContext, kind: Kind): Driver {
  const { store, netlink, bootId } = context;
  const pools = new Map<string, Pools>();

  const poolsOf = (network: NetworkRow): Pools => {
    const known = pools.get(network.id);
    if (known !== undefined) return known;
    const made = createPools(
      network,
      listEndpoints(store).filter(({ networkId }) => networkId === network.id),
    );
    pools.set(network.id, made);
    return made;
  };

  const make = (network: NetworkRow, endpoint: EndpointRecord, mac: Uint8Array, namespaceFd: number): number => {
    const name = endpoint.settings.interfaceName ?? "eth0";
    const request = addSubInterface({
      name,
      kind,
      mode: modeOf(kind, network),
      parent: ensureParent(context, network),
      mtu: network.mtu ?? 1500,
      macAddress: kind === "macvlan" ? mac : undefined,
      namespaceFd,
    });
    try {
      exchange(netlink, [request]);
    } catch (error) {
      if (!isErrno(error, EOPNOTSUPP)) throw error;
      throw new CtrError("unsupported", `this kernel has no ${kind} links`, { cause: error });
    }
    return inNamespace(namespaceFd, () => {
      using inside = openNetlink(NETLINK_ROUTE);
      const [answer] = exchange(inside, [getLink(name)]);
      const index = answer === undefined ? undefined : decodeLink(answer)?.index;
      if (index === undefined) throw new CtrError("internal", `the kernel did not describe ${name}`);
      return index;
    });
  };

  return {
    create: async (network) => {
      modeOf(kind, network);
      ensureParent(context, network);
    },
    remove: async (network) => {
      pools.delete(network.id);
      removeParent(context, network);
      deleteNetwork(store, network.id);
    },
    restore: () => {},
    check: (network) => {
      const isUsed = listEndpoints(store).some(({ networkId }) => networkId === network.id);
      return isUsed ? parentDifferences(context, network) : [];
    },
    // With a parent its containers' links are gone: they have others at their next start.
    repair: async () => {},
    validate: (network, request) => {
      if (request.macAddress !== undefined) parseMac(request.macAddress);
      if (request.macAddress !== undefined && kind === "ipvlan")
        throw new CtrError("invalid", "ipvlan interfaces share the MAC address of their parent");
      validateAddresses(network, request);
    },
    adopt: (network) => void poolsOf(network),
    attach: async (network, request: AttachRequest): Promise<Endpoint> => {
      const sandbox = openSandbox(request.sandbox, bootId);
      using namespace = sandbox.namespace;
      using undo = new DisposableStack();
      const own = poolsOf(network);
      const id = randomId();
      const { address, address6 } = leaseAddresses(own, request);
      undo.defer(() => releaseAddresses(own, address, address6));
      const mac = request.macAddress === undefined ? randomMac() : parseMac(request.macAddress);
      const reserved: EndpointRecord = {
        id,
        networkId: network.id,
        containerId: request.containerId,
        name: request.name,
        state: "reserved",
        sandbox: sandbox.record,
        // There is none: the name only has to be its own.
        hostInterface: `${kind}-${id.slice(0, 12)}`,
        interfaceIndex: 0,
        macAddress: formatMac(mac),
        address,
        ports: [],
        settings: settingsOf(store, request, address6),
      };
      reserveEndpoint(store, reserved);
      undo.defer(() => forgetEndpoint(store, id));
      const interfaceIndex = make(network, reserved, mac, namespace.number);
      markAttached(store, id, interfaceIndex);
      undo.move();
      return describe(network, { ...reserved, state: "attached", interfaceIndex });
    },
    detach: async (network, endpoint) => {
      // It went with its namespace, or goes now.
      if (isAlive(endpoint.sandbox, bootId)) removeInside(endpoint, bootId);
      releaseAddresses(poolsOf(network), endpoint.address, endpoint.settings.address6);
      forgetEndpoint(store, endpoint.id);
    },
    describe,
    linkGone: () => {},
    isWaiting: () => false,
  };
}

function removeInside({ sandbox, settings }: EndpointRecord, bootId: string): void {
  const { pid, path } = sandbox;
  const place = pid !== undefined ? { pid } : { path: path ?? "" };
  try {
    const { namespace } = openSandbox(place, bootId);
    using _ = namespace;
    inNamespace(namespace.number, () => {
      using inside = openNetlink(NETLINK_ROUTE);
      exchange(inside, [deleteLink(settings.interfaceName ?? "eth0")]);
    });
  } catch (error) {
    const isGone = isErrno(error, ENODEV) || (error instanceof CtrError && error.kind === "not-found");
    if (!isGone) throw error;
  }
}

/** The kernel's number of the mode that was asked for. Throws CtrError for one it does not have. */
function modeOf(kind: Kind, { settings }: NetworkRow): number {
  const [modes, key, usual] =
    kind === "macvlan"
      ? ([MACVLAN_MODES, OPTION.macvlanMode, "bridge"] as const)
      : ([IPVLAN_MODES, OPTION.ipvlanMode, "l2"] as const);
  const wanted = settings.options?.[key] || usual;
  const mode = new Map<string, number>(Object.entries(modes)).get(wanted);
  if (mode === undefined)
    throw new CtrError(
      "invalid",
      `requested ${kind} mode '${wanted}' is not valid: one of ${Object.keys(modes).join(", ")}`,
    );
  return mode;
}
