/** `ctr unpause`: unpause all processes within one or more containers. */
import { unpauseContainer } from "../../../internal/container/control.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { forEachTarget } from "../each.ts";

export const command = defineCommand({
  meta: { name: "unpause", description: "Unpause all processes within one or more containers" },
  usage: "CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {},
  async run({ operands, directories }) {
    using engine = openEngine(directories);
    return await forEachTarget(operands, async (target) => {
      await unpauseContainer(engine, target);
      return target;
    });
  },
});
