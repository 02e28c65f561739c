/** `ctr system df`: what the store takes of the disk. */
import { storeUsage } from "../../../../internal/container/usage.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { defineCommand, FORMAT_HELP } from "../../command.ts";
import { detailedUsage, usageSummary } from "../../format/disk-usage.ts";
import { print } from "../../output.ts";

export const command = defineCommand({
  meta: { name: "df", description: "Show disk usage" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    format: {
      type: "string",
      description: FORMAT_HELP,
    },
    verbose: { type: "boolean", alias: "v", description: "Show detailed information on space usage" },
  },
  async run({ flags, directories }) {
    using engine = openEngine(directories);
    const usage = storeUsage(engine);
    const format = flags.format ?? "table";
    print(flags.verbose ? detailedUsage(usage, format, Date.now()) : usageSummary(usage, format));
    return 0;
  },
});
