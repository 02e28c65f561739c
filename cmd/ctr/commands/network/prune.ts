/** `ctr network prune`: removes the networks that nobody is on. */
import { recordNetworkEvent } from "../../../../internal/container/network-membership.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { ensureNetd } from "../../../../internal/ipc/netd-client.ts";
import { pruneNetworks } from "../../../../internal/network/prune.ts";
import { defineCommand } from "../../command.ts";
import { isConfirmed } from "../../confirm.ts";
import { print } from "../../output.ts";
import { FILTER_FLAG, parsePruneFilter } from "../../prune-filter.ts";

const WARNING = "WARNING! This will remove all custom networks not used by at least one container.\n";

export const command = defineCommand({
  meta: { name: "prune", description: "Remove all unused networks" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    filter: { ...FILTER_FLAG, description: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { type: "boolean", alias: "f", description: "Do not prompt for confirmation" },
  },
  async run({ flags, directories }) {
    const { accepts } = parsePruneFilter(flags.filter, ["until", "label", "label!"]);
    if (!flags.force && !isConfirmed(WARNING)) return 0;
    using engine = openEngine(directories);
    using netd = await ensureNetd(directories);
    const removed = await pruneNetworks(netd, ({ labels, createdAtMs }) => accepts({ labels, createdMs: createdAtMs }));
    for (const network of removed) recordNetworkEvent(engine, "destroy", network);
    if (removed.length > 0) print(`Deleted Networks:\n${removed.map(({ name }) => `${name}\n`).join("")}\n`);
    return 0;
  },
});
