/** `ctr stats`: what containers use, as it changes. */
import { currentContainer } from "../../../internal/container/control.ts";
import { type ContainerStats, StatsReader } from "../../../internal/container/stats.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { isTerminal } from "../../../internal/sys/terminal.ts";
import { defineCommand, FORMAT_HELP } from "../command.ts";
import { printStats } from "../format/stats.ts";
import { STDOUT } from "../output.ts";
import { userSetting } from "../user-config.ts";

/** Between two looks: CPU is what was used in between. */
const INTERVAL_MS = 1000;
const SHORT_INTERVAL_MS = 500;

export const command = defineCommand({
  meta: { name: "stats", description: "Display a live stream of container(s) resource usage statistics" },
  usage: "[OPTIONS] [CONTAINER...]",
  operands: [0, Number.POSITIVE_INFINITY],
  flags: {
    all: { type: "boolean", alias: "a", description: "Show all containers (default shows just running)" },
    format: {
      type: "string",
      description: FORMAT_HELP,
    },
    "no-stream": { type: "boolean", description: "Disable streaming stats and only pull the first result" },
    "no-trunc": { type: "boolean", description: "Do not truncate output" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    const wanted = operands.map((container) => ({ id: currentContainer(engine, container).id, container }));
    using reader = new StatsReader(engine, { wanted, all: flags.all });
    const given = flags.format?.trim() ?? "";
    const format = given === "" ? (userSetting("statsFormat") ?? "table") : given;
    const show = (stats: readonly ContainerStats[]) => printStats(stats, { format, isShort: !flags["no-trunc"] });
    reader.look();
    if (flags["no-stream"]) {
      await Bun.sleep(SHORT_INTERVAL_MS);
      show(reader.look());
      return 0;
    }
    if (isTerminal(STDOUT) && format === "table") {
      const { showLive } = await import("../stats-screen.ts");
      await showLive(() => reader.look(), INTERVAL_MS, !flags["no-trunc"]);
      return 0;
    }
    for (;;) {
      await Bun.sleep(INTERVAL_MS);
      show(reader.look());
    }
  },
});
