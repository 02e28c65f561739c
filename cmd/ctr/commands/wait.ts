/** `ctr wait`: the exit statuses, in the order of the arguments, when they are there. */
import { waitContainer } from "../../../internal/container/control.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { forEachTarget } from "../each.ts";

export const command = defineCommand({
  meta: { name: "wait", description: "Block until one or more containers stop, then print their exit codes" },
  usage: "CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {},
  async run({ operands, directories }) {
    using engine = openEngine(directories);
    return await forEachTarget(operands, async (target) => String(await waitContainer(engine, target)));
  },
});
