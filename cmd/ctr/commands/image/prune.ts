/** `ctr image prune`: removes the images that have no name, or (`-a`) that no container uses. */
import { collect } from "../../../../internal/container/collect.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { parseSwitch } from "../../../../internal/image/filter.ts";
import { humanSize } from "../../../../internal/image/human-size.ts";
import { pruneImages } from "../../../../internal/image/remove.ts";
import { defineCommand } from "../../command.ts";
import { isConfirmed } from "../../confirm.ts";
import { printFailure } from "../../fail.ts";
import { removalLines } from "../../format/removals.ts";
import { print } from "../../output.ts";
import { FILTER_FLAG, parsePruneFilter } from "../../prune-filter.ts";

export const command = defineCommand({
  meta: { name: "prune", description: "Remove unused images" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    all: { type: "boolean", alias: "a", description: "Remove all unused images, not just dangling ones" },
    filter: { ...FILTER_FLAG, description: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { type: "boolean", alias: "f", description: "Do not prompt for confirmation" },
  },
  async run({ flags, directories }) {
    const { accepts, values } = parsePruneFilter(flags.filter, ["until", "label", "label!", "dangling"]);
    const dangling = values("dangling");
    const all = flags.all || (dangling.length > 0 && !parseSwitch("dangling", dangling));
    const what = all ? "all images without at least one container associated to them" : "all dangling images";
    if (!flags.force && !isConfirmed(`WARNING! This will remove ${what}.\n`)) return 0;
    using engine = openEngine(directories);
    // A container whose removal was cut off would keep its image.
    const problems = collect(engine);
    const { removals, reclaimed } = pruneImages(engine, { all, accepts });
    print(removalLines(removals));
    print(`Total reclaimed space: ${humanSize(reclaimed, 4)}\n`);
    for (const problem of problems) printFailure(problem);
    return problems.length === 0 ? 0 : 1;
  },
});
