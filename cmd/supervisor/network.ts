/** The container's place in its network, asked of netd. */
import { writeHostsFile } from "../../internal/container/etc-files.ts";
import { portRequests } from "../../internal/container/ports.ts";
import type { ContainerRecord, EndpointRecord } from "../../internal/container/record.ts";
import type { Engine } from "../../internal/db/engine.ts";
import { CtrError } from "../../internal/errors/error.ts";
import type { FromNetd, ToNetd } from "../../internal/ipc/netd.ts";
import { connectNetd } from "../../internal/ipc/netd-client.ts";
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
  const answer = await ask(engine, {
    type: "attach",
    request: {
      containerId: record.id,
      name: record.name,
      sandbox: { pid: launch.pid },
      network: "bridge",
      ports: portRequests(record.config, record.hostConfig),
    },
  });
  if (answer.type !== "attached") throw new CtrError("internal", `netd answered ${answer.type} to attach`);
  const { endpoint } = answer;
  const { address, prefixLength } = endpoint.interface;
  writeHostsFile(engine.root, record, address);
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

/** Gives the endpoint back; without one nothing is asked. */
export async function detachNetwork(engine: Engine, record: ContainerRecord): Promise<void> {
  if (isOnBridge(record)) await ask(engine, { type: "detach", containerId: record.id });
}

async function ask(engine: Engine, request: ToNetd): Promise<FromNetd> {
  const netd = await connectNetd(engine);
  try {
    netd.send(request);
    const answer = await netd.receive();
    if (answer === undefined) throw new CtrError("unavailable", "netd ended the connection");
    if (answer.type === "failed") throw new CtrError(answer.kind, answer.message);
    return answer;
  } finally {
    netd.end();
  }
}
