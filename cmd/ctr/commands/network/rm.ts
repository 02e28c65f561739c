/** `ctr network rm`. */
import { recordNetworkEvent } from "../../../../internal/container/network-membership.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { CtrError } from "../../../../internal/errors/error.ts";
import { ensureNetd } from "../../../../internal/ipc/netd-client.ts";
import { isNetworkName } from "../../../../internal/ipc/network-name.ts";
import { defineCommand } from "../../command.ts";
import { forEachTarget } from "../../each.ts";
import { printFailure } from "../../fail.ts";

export const command = defineCommand({
  meta: { name: "rm", description: "Remove one or more networks" },
  usage: "NETWORK [NETWORK...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    force: { type: "boolean", alias: "f", description: "Do not error if the network does not exist" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    using netd = await ensureNetd(directories);
    return await forEachTarget(operands, async (name) => {
      try {
        if (!isNetworkName(name)) throw new CtrError("not-found", `network ${name} not found`);
        recordNetworkEvent(engine, "destroy", await netd.removeNetwork(name));
        return name;
      } catch (error) {
        // As Docker: told, and no failure.
        if (!flags.force || !(error instanceof CtrError) || error.kind !== "not-found") throw error;
        printFailure(error);
        return undefined;
      }
    });
  },
});
