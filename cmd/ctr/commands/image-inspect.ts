/** `ctr image inspect`: images as JSON. */
import { openEngine } from "../../../internal/db/engine.ts";
import { inspectImage, requirePlatform } from "../../../internal/image/inspect.ts";
import { defineCommand, INSPECT_HELP } from "../command.ts";
import { inspectEach } from "../inspect-each.ts";

export const command = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more images" },
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: { type: "string", alias: "f", description: INSPECT_HELP },
    platform: {
      type: "string",
      description:
        "Inspect a specific platform of the multi-platform image.\n" +
        'Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    return await inspectEach("image", flags.format, operands, async (target) => {
      if (flags.platform !== undefined) requirePlatform(engine, target, flags.platform);
      return inspectImage(engine, target);
    });
  },
});
