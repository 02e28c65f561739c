/** `ctr container prune`: removes the containers that do not run. */
import { pruneContainers } from "../../../../internal/container/prune.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { humanSize } from "../../../../internal/image/human-size.ts";
import { defineCommand } from "../../command.ts";
import { isConfirmed } from "../../confirm.ts";
import { printFailure } from "../../fail.ts";
import { print } from "../../output.ts";
import { FILTER_FLAG, parsePruneFilter } from "../../prune-filter.ts";

export const command = defineCommand({
  meta: { name: "prune", description: "Remove all stopped containers" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    filter: { ...FILTER_FLAG, description: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { type: "boolean", alias: "f", description: "Do not prompt for confirmation" },
  },
  async run({ flags, directories }) {
    const { accepts } = parsePruneFilter(flags.filter, ["until", "label", "label!"]);
    if (!flags.force && !isConfirmed("WARNING! This will remove all stopped containers.\n")) return 0;
    using engine = openEngine(directories);
    const { ids, reclaimed, problems } = await pruneContainers(engine, accepts);
    if (ids.length > 0) print(`Deleted Containers:\n${ids.join("\n")}\n\n`);
    print(`Total reclaimed space: ${humanSize(reclaimed, 4)}\n`);
    for (const problem of problems) printFailure(problem);
    return problems.length === 0 ? 0 : 1;
  },
});
