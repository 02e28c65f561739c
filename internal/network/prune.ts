/** `network prune`: the networks of users that nobody is on. */
import { CtrError } from "../errors/error.ts";
import type { NetworkRecord } from "../ipc/netd.ts";
import type { NetdClient } from "../ipc/netd-client.ts";

const PREDEFINED = ["bridge", "host", "none"];

/** Removes those that `accepts` lets go; returns them as they were. */
export async function pruneNetworks(
  netd: NetdClient,
  accepts: (network: NetworkRecord) => boolean,
): Promise<readonly NetworkRecord[]> {
  const used = new Set((await netd.endpoints()).map(({ networkId }) => networkId));
  const unused = (await netd.networks()).filter(
    (network) => !PREDEFINED.includes(network.name) && !used.has(network.id) && accepts(network),
  );
  const removed: NetworkRecord[] = [];
  for (const { id } of unused) {
    try {
      removed.push(await netd.removeNetwork(id));
    } catch (error) {
      // Somebody came, or somebody else removed it: it is not unused any more.
      if (!(error instanceof CtrError) || (error.kind !== "conflict" && error.kind !== "not-found")) throw error;
    }
  }
  return removed;
}
