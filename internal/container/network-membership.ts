/** `network connect` and `disconnect`: a container that runs has its interface at once, any other at its next start. */
import type { Engine } from "../db/engine.ts";
import { recordEvent } from "../db/events.ts";
import { CtrError } from "../errors/error.ts";
import type { NetworkRecord } from "../ipc/netd.ts";
import type { NetdClient } from "../ipc/netd-client.ts";
import { isRunning } from "../sys/process.ts";
import { currentContainer, tellChanged } from "./control.ts";
import { addHostsLines, followNetworks, removeHostsLines } from "./etc-files.ts";
import { isUserNetwork } from "./network-flags.ts";
import { attachRequest, endpointRecord, endpointsOf, networksOf } from "./networks.ts";
import { portRequests } from "./ports.ts";
import type { ContainerRecord, EndpointRecord, NetworkAttachment } from "./record.ts";
import { patchRuntime, reconfigureNetworks } from "./store.ts";

const NOT_BY_HOST = "container cannot be disconnected from host network or connected to host network";
const NOT_BESIDE_NONE =
  "container cannot be connected to multiple networks with one of the networks in private (none) mode";

/** Puts a container on a network. Throws CtrError in Docker's words. */
export async function connectContainer(
  engine: Engine,
  netd: NetdClient,
  asked: { readonly network: NetworkRecord; readonly container: string; readonly attachment: NetworkAttachment },
): Promise<void> {
  const { network, attachment } = asked;
  const record = currentContainer(engine, asked.container);
  const { NetworkMode } = record.hostConfig;
  if (network.name === "host") throw new CtrError("denied", NOT_BY_HOST);
  if (network.name === "none") throw invalid(NOT_BESIDE_NONE);
  if (NetworkMode === "host" || NetworkMode.startsWith("container:"))
    throw invalid(
      "container sharing network namespace with another container or host cannot be connected to any other network",
    );
  if (NetworkMode === "none") throw invalid(NOT_BESIDE_NONE);
  if (recordedName(record, network) !== undefined)
    throw new CtrError("denied", `endpoint with name ${record.name} already exists in network ${network.name}`);
  if (attachment.Aliases !== undefined && !isUserNetwork(network.name))
    throw invalid("network-scoped alias is supported only for containers in user defined networks");

  const isUp = isRunning(record.runtime.pid, record.runtime.pidStartTime);
  const changed: ContainerRecord = { ...record, hostConfig: withNetwork(record, network.name, attachment) };
  if (isUp) {
    const sandbox = { pid: record.runtime.pid };
    const ports = portRequests(record.config, record.hostConfig);
    const request = attachRequest(changed, network.name, { sandbox, ports, isLive: true });
    const endpoint = endpointRecord(await netd.attach(request));
    await recordEndpoints(engine, netd, record);
    addHostsLines(engine.root, record, plainAddresses(endpoint));
    followNetworks(engine.root, record, changed);
  }
  await tellChanged(
    engine,
    reconfigureNetworks(engine, record.id, (now) => withNetwork(now, network.name, attachment)),
  );
  recordNetworkEvent(engine, "connect", network, record);
}

/** Takes a container from a network. Throws CtrError in Docker's words. */
export async function disconnectContainer(
  engine: Engine,
  netd: NetdClient,
  asked: { readonly network: NetworkRecord; readonly container: string },
): Promise<void> {
  const { network } = asked;
  const record = currentContainer(engine, asked.container);
  if (network.name === "host") throw new CtrError("denied", NOT_BY_HOST);
  const name = recordedName(record, network);
  if (name === undefined)
    throw new CtrError("denied", `container ${record.id} is not connected to network ${network.name}`);
  if (isRunning(record.runtime.pid, record.runtime.pidStartTime)) {
    await netd.disconnect(record.id, network.id, portRequests(record.config, record.hostConfig));
    await recordEndpoints(engine, netd, record);
    const gone = endpointsOf(record)
      .filter((one) => one.network === network.name)
      .flatMap(plainAddresses);
    removeHostsLines(engine.root, record, gone);
    followNetworks(engine.root, record, { ...record, hostConfig: withoutNetwork(record, name) });
  }
  await tellChanged(
    engine,
    reconfigureNetworks(engine, record.id, (now) => withoutNetwork(now, name)),
  );
  recordNetworkEvent(engine, "disconnect", network, record);
}

/** What netd has by now: the one with the published ports, which may have moved, first. */
async function recordEndpoints(engine: Engine, netd: NetdClient, record: ContainerRecord): Promise<void> {
  const all = (await netd.endpoints(record.id)).map(endpointRecord);
  const order = endpointsOf(record).map(({ endpointId }) => endpointId);
  const place = ({ endpointId, ports }: EndpointRecord) => {
    if (ports.length > 0) return -1;
    const at = order.indexOf(endpointId);
    return at < 0 ? order.length : at;
  };
  const [endpoint, ...otherEndpoints] = all.toSorted((a, b) => place(a) - place(b));
  patchRuntime(engine, record.id, { endpoint, otherEndpoints });
}

/** As the container has it recorded: by name, or as the user wrote its id; undefined if it is not on it. */
function recordedName(record: ContainerRecord, { name, id }: NetworkRecord): string | undefined {
  return networksOf(record).find((recorded) => recorded === name || (recorded.length >= 12 && id.startsWith(recorded)));
}

function withNetwork(
  record: ContainerRecord,
  name: string,
  attachment: NetworkAttachment,
): ContainerRecord["hostConfig"] {
  const { hostConfig } = record;
  const known = hostConfig.Networks ?? Object.fromEntries(networksOf(record).map((network) => [network, {}]));
  return { ...hostConfig, Networks: { ...known, [name]: attachment } };
}

function withoutNetwork(record: ContainerRecord, name: string): ContainerRecord["hostConfig"] {
  const { hostConfig } = record;
  const known = hostConfig.Networks ?? Object.fromEntries(networksOf(record).map((network) => [network, {}]));
  return { ...hostConfig, Networks: Object.fromEntries(Object.entries(known).filter(([network]) => network !== name)) };
}

function plainAddresses({ address, address6 }: EndpointRecord): string[] {
  return [address, ...(address6 === undefined ? [] : [address6])].map((text) => text.split("/")[0] ?? "");
}

/** Records what happened to a network; `record` is the container it concerns. */
export function recordNetworkEvent(
  engine: Engine,
  action: "create" | "destroy" | "connect" | "disconnect",
  network: NetworkRecord,
  record?: ContainerRecord,
): void {
  const container = record === undefined ? {} : { container: record.id };
  const attributes = { ...container, name: network.name, type: network.driver };
  recordEvent(engine, { type: "network", action, id: network.id, attributes });
}

function invalid(message: string): CtrError {
  return new CtrError("invalid", message);
}
