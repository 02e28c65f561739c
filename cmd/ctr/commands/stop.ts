/** `ctr stop`: the stop signal, a while to go, then SIGKILL. */
import { stopContainer } from "../../../internal/container/control.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { forEachTarget } from "../each.ts";
import { STOP_FLAGS, stopOptions } from "../stop-options.ts";

export const command = defineCommand({
  meta: { name: "stop", description: "Stop one or more running containers" },
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: STOP_FLAGS,
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    const options = stopOptions(flags);
    return await forEachTarget(operands, async (target) => {
      await stopContainer(engine, target, options);
      return target;
    });
  },
});
