/** `ctr update`: other limits, and another restart policy, for containers that run or not. */
import { readUpdatable } from "../../../internal/container/resource-flags.ts";
import { parseRestartPolicy } from "../../../internal/container/restart-policy.ts";
import { updateContainer } from "../../../internal/container/update.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { defineCommand, type FlagDefinitions } from "../command.ts";
import { forEachTarget } from "../each.ts";
import { asUsageError } from "../option-errors.ts";
import { printError } from "../output.ts";
import { UPDATABLE_FLAGS } from "../resource-flags.ts";

const FLAGS = {
  ...UPDATABLE_FLAGS,
  restart: { type: "string", description: "Restart policy to apply when a container exits" },
} as const satisfies FlagDefinitions;

export const command = defineCommand({
  meta: { name: "update", description: "Update configuration of one or more containers" },
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: FLAGS,
  async run({ flags, operands, directories }) {
    if (Object.values(flags).every((value) => value === undefined)) {
      throw new CtrError("invalid", "you must provide one or more flags when using this command");
    }
    const { limits, restartPolicy } = asUsageError("update", FLAGS, () => ({
      limits: readUpdatable(flags),
      restartPolicy: flags.restart === undefined ? undefined : parseRestartPolicy(flags.restart),
    }));
    const update = { limits, ...(restartPolicy === undefined ? {} : { restartPolicy }) };
    using engine = openEngine(directories);
    const warnings: string[] = [];
    const status = await forEachTarget(operands, async (target) => {
      warnings.push(...(await updateContainer(engine, target, update)));
      return target;
    });
    for (const warning of new Set(warnings)) printError(`WARNING: ${warning}`);
    return status;
  },
});
