/** `ctr pause`: pause all processes within one or more containers. */
import { pauseContainer } from "../../../internal/container/control.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { forEachTarget } from "../each.ts";

export const command = defineCommand({
  meta: { name: "pause", description: "Pause all processes within one or more containers" },
  usage: "CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {},
  async run({ operands, directories }) {
    using engine = openEngine(directories);
    return await forEachTarget(operands, async (target) => {
      await pauseContainer(engine, target);
      return target;
    });
  },
});
