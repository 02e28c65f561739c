/** `ctr rmi`: removes tags and images. */
import { openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { requirePlatform } from "../../../internal/image/inspect.ts";
import { removeImage } from "../../../internal/image/remove.ts";
import { defineCommand } from "../command.ts";
import { printFailure } from "../fail.ts";
import { printLine } from "../output.ts";

export const command = defineCommand({
  meta: { name: "rmi", description: "Remove one or more images" },
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    force: { type: "boolean", alias: "f", description: "Force removal of the image" },
    "no-prune": { type: "boolean", description: "Do not delete untagged parents" },
    platform: {
      type: "string",
      repeatable: true,
      valueHint: "strings",
      description: 'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    let status = 0;
    for (const target of operands) {
      try {
        for (const platform of flags.platform.flatMap((list) => list.split(",")))
          requirePlatform(engine, target, platform);
        for (const { kind, name } of removeImage(engine, target, { force: flags.force, prune: !flags["no-prune"] })) {
          printLine(`${kind === "untagged" ? "Untagged" : "Deleted"}: ${name}`);
        }
      } catch (error) {
        printFailure(error);
        // With -f, what is not there is as the user wants it.
        if (!(flags.force && error instanceof CtrError && error.kind === "not-found")) status = 1;
      }
    }
    return status;
  },
});
