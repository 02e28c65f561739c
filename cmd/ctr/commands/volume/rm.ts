/** `ctr volume rm`. */
import { openEngine } from "../../../../internal/db/engine.ts";
import { removeVolumeNamed } from "../../../../internal/volume/store.ts";
import { defineCommand } from "../../command.ts";
import { forEachTarget } from "../../each.ts";

export const command = defineCommand({
  meta: { name: "rm", description: "Remove one or more volumes" },
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    force: { type: "boolean", alias: "f", description: "Force the removal of one or more volumes" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    return await forEachTarget(operands, async (name) => {
      removeVolumeNamed(engine, name, flags.force);
      return name;
    });
  },
});
