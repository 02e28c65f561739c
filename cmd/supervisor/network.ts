/** The container's places in its networks, asked of netd. */
import { writeHostsFile } from "../../internal/container/etc-files.ts";
import { attachRequest, endpointRecord, networksOf } from "../../internal/container/networks.ts";
import { portRequests } from "../../internal/container/ports.ts";
import type { ContainerRecord, EndpointRecord } from "../../internal/container/record.ts";
import type { Engine } from "../../internal/db/engine.ts";
import type { Endpoint } from "../../internal/ipc/netd.ts";
import { connectNetd, ensureNetd, type NetdClient, wakeNetd } from "../../internal/ipc/netd-client.ts";
import type { Launch } from "../../internal/runtime/launch.ts";

/** A container's places in its networks. */
export interface Attached {
  readonly endpoints: readonly EndpointRecord[];
  /** Resolves when its name server listens: the program may start. */
  readonly served: Promise<void>;
}

const NO_NETWORKS: Attached = { endpoints: [], served: Promise.resolve() };

/** Gives init its networks: endpoints from netd, or none. The first has the ports. Throws what netd refuses. */
export async function attachNetworks(engine: Engine, record: ContainerRecord, launch: Launch): Promise<Attached> {
  const wanted = networksOf(record);
  if (wanted.length === 0) {
    launch.provideNetwork();
    return NO_NETWORKS;
  }
  using undo = new DisposableStack();
  const netd = undo.use(await ensureNetd(engine));
  const main = wanted.length === 1 ? wanted[0] : await gatewayOf(netd, record);
  const endpoints: Endpoint[] = [];
  for (const name of wanted) {
    const ports = name === main ? portRequests(record.config, record.hostConfig) : [];
    endpoints.push(await netd.attach(attachRequest(record, name, { sandbox: { pid: launch.pid }, ports })));
  }
  const first = endpoints[wanted.indexOf(main ?? "")] ?? endpoints[0];
  if (first === undefined) return NO_NETWORKS;
  const links = (record.hostConfig.Links ?? []).length === 0 ? [] : await linesOfLinks(engine, record);
  writeHostsFile(engine.root, record, {
    addresses: addressesOf(endpoints),
    gateway: first.gateway || undefined,
    links,
  });
  const [interfaceOfFirst, ...others] = endpoints.map(({ interface: setup }) =>
    // Only one leads to everywhere else.
    setup === first.interface ? setup : { ...setup, routes: [] },
  );
  launch.provideNetwork(interfaceOfFirst, others);
  const owned = undo.move();
  return {
    endpoints: [first, ...endpoints.filter((endpoint) => endpoint !== first)].map(endpointRecord),
    // On the default bridge nobody has names.
    served: (wanted.some((name) => name !== "bridge") ? netd.served(record.id) : Promise.resolve()).finally(() =>
      owned.dispose(),
    ),
  };
}

function addressesOf(endpoints: readonly Endpoint[]): string[] {
  return endpoints.flatMap(({ interface: { address, address6 } }) => [
    address,
    ...(address6 === undefined ? [] : [address6]),
  ]);
}

async function linesOfLinks(engine: Engine, record: ContainerRecord): Promise<string[]> {
  const { linkLines } = await import("../../internal/container/links.ts");
  return linkLines(engine, record);
}

/** The network, as the record has its name, that the default route leads into; the first if there is no way out. */
async function gatewayOf(netd: NetdClient, record: ContainerRecord): Promise<string | undefined> {
  const { byGatewayRule } = await import("../../internal/network/gateway.ts");
  const known = await netd.networks();
  const candidates = networksOf(record).flatMap((recorded) => {
    const network = known.find(({ name, id }) => name === recorded || id.startsWith(recorded));
    const gwPriority = record.hostConfig.Networks?.[recorded]?.GwPriority ?? 0;
    // What is not there the attach refuses.
    return network === undefined || network.isInternal ? [] : [{ recorded, network: network.name, gwPriority }];
  });
  return candidates.sort(byGatewayRule)[0]?.recorded ?? networksOf(record)[0];
}

/** Gives the endpoints back. A netd that was killed is started: it finds out by itself. */
export async function detachNetworks(engine: Engine, record: ContainerRecord): Promise<void> {
  if (networksOf(record).length === 0 && record.runtime.endpoint === undefined) return;
  using netd = await connectNetd(engine);
  if (netd !== undefined) await netd.detach(record.id);
  else if (record.runtime.endpoint !== undefined) wakeNetd(engine);
}
