/** `ctr container inspect`: containers as JSON. */
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand, INSPECT_HELP } from "../command.ts";
import { inspectEach, inspectOneContainer } from "../inspect-each.ts";

export const command = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more containers" },
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: { type: "string", alias: "f", description: INSPECT_HELP },
    size: { type: "boolean", alias: "s", description: "Display total file sizes" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    return await inspectEach("container", flags.format, operands, (target) =>
      inspectOneContainer(engine, target, flags.size),
    );
  },
});
