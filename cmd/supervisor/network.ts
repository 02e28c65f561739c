/** The container's place in its network, asked of netd. */
import { writeHostsFile } from "../../internal/container/etc-files.ts";
import { portRequests } from "../../internal/container/ports.ts";
import type { ContainerRecord, EndpointRecord } from "../../internal/container/record.ts";
import type { Engine } from "../../internal/db/engine.ts";
import { connectNetd, ensureNetd, wakeNetd } from "../../internal/ipc/netd-client.ts";
import type { Launch } from "../../internal/runtime/launch.ts";

/** True for a container whose own network namespace is on the bridge. */
function isOnBridge(record: ContainerRecord): boolean {
  const mode = record.hostConfig.NetworkMode;
  return mode === "default" || mode === "bridge";
}

/** Gives init its network: an endpoint from netd on the bridge, otherwise none. Throws what netd refuses. */
export async function attachNetwork(
  engine: Engine,
  record: ContainerRecord,
  launch: Launch,
): Promise<EndpointRecord | undefined> {
  if (!isOnBridge(record)) {
    launch.provideNetwork();
    return undefined;
  }
  using netd = await ensureNetd(engine);
  const endpoint = await netd.attach({
    containerId: record.id,
    name: record.name,
    sandbox: { pid: launch.pid },
    network: "bridge",
    ports: portRequests(record.config, record.hostConfig),
    ...(record.config.MacAddress === undefined ? {} : { macAddress: record.config.MacAddress }),
  });
  const { address, prefixLength } = endpoint.interface;
  writeHostsFile(engine.root, record, address, endpoint.gateway);
  launch.provideNetwork(endpoint.interface);
  return {
    network: endpoint.network,
    endpointId: endpoint.id,
    macAddress: endpoint.macAddress,
    address: `${address}/${prefixLength}`,
    gateway: endpoint.gateway,
    ports: endpoint.ports,
  };
}

/** Gives the endpoint back. A netd that was killed is started: it finds out by itself. */
export async function detachNetwork(engine: Engine, record: ContainerRecord): Promise<void> {
  if (!isOnBridge(record)) return;
  using netd = await connectNetd(engine);
  if (netd !== undefined) await netd.detach(record.id);
  else if (record.runtime.endpoint !== undefined) wakeNetd(engine);
}
