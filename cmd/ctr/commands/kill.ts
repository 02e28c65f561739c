/** `ctr kill`: a signal to a container's first process. */
import { killContainer } from "../../../internal/container/control.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { forEachTarget } from "../each.ts";
import { parseSignal } from "../stop-options.ts";

export const command = defineCommand({
  meta: { name: "kill", description: "Kill one or more running containers" },
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    signal: { type: "string", alias: "s", description: "Signal to send to the container", default: "" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    const signal = parseSignal(flags.signal === "" ? "KILL" : flags.signal);
    return await forEachTarget(operands, async (target) => {
      await killContainer(engine, target, signal);
      return target;
    });
  },
});
