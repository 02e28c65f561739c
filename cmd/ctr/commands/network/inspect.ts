/** `ctr network inspect`: networks as JSON. */
import { ensureNetd } from "../../../../internal/ipc/netd-client.ts";
import { defineCommand, INSPECT_HELP } from "../../command.ts";
import { inspectEach } from "../../inspect-each.ts";
import { inspectNetwork } from "../../inspect-network.ts";
import { networkNamed } from "../../networks.ts";

export const command = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more networks" },
  usage: "[OPTIONS] NETWORK [NETWORK...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: { type: "string", alias: "f", description: INSPECT_HELP },
    verbose: { type: "boolean", alias: "v", description: "Verbose output for diagnostics" },
  },
  async run({ flags, operands, directories }) {
    using netd = await ensureNetd(directories);
    const networks = await netd.networks();
    const endpoints = await netd.endpoints();
    return await inspectEach("network", flags.format, operands, async (target) =>
      inspectNetwork(networkNamed(networks, target), endpoints, flags.verbose),
    );
  },
});
