/** `ctr network disconnect`: a running container loses the network at once. */
import { disconnectContainer } from "../../../../internal/container/network-membership.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { CtrError } from "../../../../internal/errors/error.ts";
import { ensureNetd } from "../../../../internal/ipc/netd-client.ts";
import { defineCommand } from "../../command.ts";
import { networkNamed } from "../../networks.ts";

export const command = defineCommand({
  meta: { name: "disconnect", description: "Disconnect a container from a network" },
  usage: "[OPTIONS] NETWORK CONTAINER",
  operands: [2, 2],
  flags: {
    force: { type: "boolean", alias: "f", description: "Force the container to disconnect from a network" },
  },
  async run({ flags, operands, directories }) {
    const [name = "", container = ""] = operands;
    using engine = openEngine(directories);
    using netd = await ensureNetd(directories);
    const network = networkNamed(await netd.networks(), name);
    try {
      await disconnectContainer(engine, netd, { network, container });
    } catch (error) {
      // The container may be gone while netd still has its endpoint.
      const isUnknown = error instanceof CtrError && error.kind === "not-found";
      const endpoint = (await netd.endpoints()).find(
        (one) => one.networkId === network.id && (one.name === container || one.containerId === container),
      );
      if (!flags.force || !isUnknown || endpoint === undefined) throw error;
      await netd.disconnect(endpoint.containerId, network.id, []);
    }
    return 0;
  },
});
