/** `ctr volume prune`: removes the anonymous volumes (`-a`: all) that no container has. */
import { openEngine } from "../../../../internal/db/engine.ts";
import { humanSize } from "../../../../internal/image/human-size.ts";
import { pruneVolumes } from "../../../../internal/volume/prune.ts";
import { defineCommand } from "../../command.ts";
import { isConfirmed } from "../../confirm.ts";
import { print } from "../../output.ts";
import { FILTER_FLAG, parsePruneFilter } from "../../prune-filter.ts";

export const command = defineCommand({
  meta: { name: "prune", description: "Remove unused local volumes" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    all: { type: "boolean", alias: "a", description: "Remove all unused volumes, not just anonymous ones" },
    filter: { ...FILTER_FLAG, description: 'Provide filter values (e.g. "label=<label>")' },
    force: { type: "boolean", alias: "f", description: "Do not prompt for confirmation" },
  },
  async run({ flags, directories }) {
    const { accepts, value } = parsePruneFilter(flags.filter, ["label", "label!", "all"]);
    const all = flags.all || value("all") === "true" || value("all") === "1";
    const which = all ? "all" : "anonymous";
    const warning = `WARNING! This will remove ${which} local volumes not used by at least one container.\n`;
    if (!flags.force && !isConfirmed(warning)) return 0;
    using engine = openEngine(directories);
    const { names, reclaimed } = pruneVolumes(engine, {
      all,
      accepts: ({ labels, createdAt }) => accepts({ labels, createdMs: Date.parse(createdAt) }),
    });
    if (names.length > 0) print(`Deleted Volumes:\n${names.join("\n")}\n\n`);
    print(`Total reclaimed space: ${humanSize(reclaimed, 4)}\n`);
    return 0;
  },
});
