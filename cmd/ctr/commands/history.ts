/** `ctr history`: how an image came to be. */
import { openEngine } from "../../../internal/db/engine.ts";
import { imageHistory } from "../../../internal/image/history.ts";
import { requirePlatform } from "../../../internal/image/inspect.ts";
import { defineCommand, FORMAT_HELP } from "../command.ts";
import { formatHistory } from "../format/history.ts";
import { print } from "../output.ts";

export const command = defineCommand({
  meta: { name: "history", description: "Show the history of an image" },
  usage: "[OPTIONS] IMAGE",
  operands: [1, 1],
  flags: {
    format: { type: "string", description: FORMAT_HELP },
    human: {
      type: "boolean",
      alias: "H",
      default: true,
      description: "Print sizes and dates in human readable format",
    },
    "no-trunc": { type: "boolean", description: "Don't truncate output" },
    platform: {
      type: "string",
      description: 'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    quiet: { type: "boolean", alias: "q", description: "Only show image IDs" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    const [image = ""] = operands;
    if (flags.platform !== undefined) requirePlatform(engine, image, flags.platform);
    const steps = imageHistory(engine, image);
    const { format, human, quiet } = flags;
    print(formatHistory(steps, { format, isShort: !flags["no-trunc"], isHuman: human, isQuiet: quiet }));
    return 0;
  },
});
