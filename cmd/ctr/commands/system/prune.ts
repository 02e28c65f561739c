/** `ctr system prune`: stopped containers, unused networks, images without a name or (`-a`) a container, with `--volumes` volumes. */
import { pruneContainers } from "../../../../internal/container/prune.ts";
import { type Engine, openEngine } from "../../../../internal/db/engine.ts";
import { CtrError } from "../../../../internal/errors/error.ts";
import { humanSize } from "../../../../internal/image/human-size.ts";
import { pruneImages } from "../../../../internal/image/remove.ts";
import { AT_FDCWD } from "../../../../internal/sys/fd.ts";
import { exists } from "../../../../internal/sys/file.ts";
import { pruneVolumes } from "../../../../internal/volume/prune.ts";
import { defineCommand } from "../../command.ts";
import { isConfirmed } from "../../confirm.ts";
import { printFailure } from "../../fail.ts";
import { removalLines } from "../../format/removals.ts";
import { print } from "../../output.ts";
import { FILTER_FLAG, type PruneFilter, parsePruneFilter } from "../../prune-filter.ts";

export const command = defineCommand({
  meta: { name: "prune", description: "Remove unused data" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    all: { type: "boolean", alias: "a", description: "Remove all unused images not just dangling ones" },
    filter: { ...FILTER_FLAG, description: 'Provide filter values (e.g. "label=<key>=<value>")' },
    force: { type: "boolean", alias: "f", description: "Do not prompt for confirmation" },
    volumes: { type: "boolean", description: "Prune anonymous volumes" },
  },
  async run({ flags, directories }) {
    const { accepts, value } = parsePruneFilter(flags.filter, ["until", "label", "label!"]);
    if (flags.volumes && value("until") !== undefined)
      throw new CtrError("invalid", 'ERROR: The "until" filter is not supported with "--volumes"');
    if (!flags.force && !isConfirmed(warning(flags))) return 0;
    using engine = openEngine(directories);
    const containers = await pruneContainers(engine, accepts);
    if (containers.ids.length > 0) print(`Deleted Containers:\n${containers.ids.join("\n")}\n\n`);
    let reclaimed = containers.reclaimed;
    if (flags.volumes) {
      const volumes = pruneVolumes(engine, {
        all: false,
        accepts: ({ labels, createdAt }) => accepts({ labels, createdMs: Date.parse(createdAt) }),
      });
      if (volumes.names.length > 0) print(`Deleted Volumes:\n${volumes.names.join("\n")}\n\n`);
      reclaimed += volumes.reclaimed;
    }
    const networks = await pruneUnusedNetworks(engine, accepts);
    if (networks.length > 0) print(`Deleted Networks:\n${networks.map((name) => `${name}\n`).join("")}\n`);
    const images = pruneImages(engine, { all: flags.all, accepts });
    print(removalLines(images.removals));
    reclaimed += images.reclaimed;
    print(`Total reclaimed space: ${humanSize(reclaimed, 4)}\n`);
    for (const problem of containers.problems) printFailure(problem);
    return containers.problems.length === 0 ? 0 : 1;
  },
});

/** Where no netd has ever been asked for anything there is no network of a user's. */
async function pruneUnusedNetworks(engine: Engine, accepts: PruneFilter["accepts"]): Promise<readonly string[]> {
  if (!exists(AT_FDCWD, `${engine.root}/netd.db`)) return [];
  const [{ ensureNetd }, { pruneNetworks }, { recordNetworkEvent }] = await Promise.all([
    import("../../../../internal/ipc/netd-client.ts"),
    import("../../../../internal/network/prune.ts"),
    import("../../../../internal/container/network-membership.ts"),
  ]);
  using netd = await ensureNetd(engine);
  const removed = await pruneNetworks(netd, ({ labels, createdAtMs }) => accepts({ labels, createdMs: createdAtMs }));
  for (const network of removed) recordNetworkEvent(engine, "destroy", network);
  return removed.map(({ name }) => name);
}

function warning(flags: {
  readonly all: boolean;
  readonly volumes: boolean;
  readonly filter: readonly string[];
}): string {
  const what = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(flags.volumes ? ["all anonymous volumes not used by at least one container"] : []),
    flags.all ? "all images without at least one container associated to them" : "all dangling images",
    flags.all ? "all build cache" : "unused build cache",
  ];
  const lines = (words: readonly string[]) => words.map((text) => `  - ${text}\n`).join("");
  const filters =
    flags.filter.length === 0 ? "" : `  Items to be pruned will be filtered with:\n${lines(flags.filter)}\n`;
  return `WARNING! This will remove:\n${lines(what)}\n${filters}`;
}
