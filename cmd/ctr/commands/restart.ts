/** `ctr restart`: stops what runs, and starts it again. */
import { restartContainer } from "../../../internal/container/control.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { forEachTarget } from "../each.ts";
import { STOP_FLAGS, stopOptions } from "../stop-options.ts";

export const command = defineCommand({
  meta: { name: "restart", description: "Restart one or more containers" },
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: STOP_FLAGS,
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    const options = stopOptions(flags);
    return await forEachTarget(operands, async (target) => {
      await restartContainer(engine, target, options);
      return target;
    });
  },
});
