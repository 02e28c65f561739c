/** `ctr import`: a root file system in a tar becomes an image. */
import { openEngine } from "../../../internal/db/engine.ts";
import { importImage } from "../../../internal/image/import.ts";
import { defineCommand } from "../command.ts";
import { printLine } from "../output.ts";

export const command = defineCommand({
  meta: { name: "import", description: "Import the contents from a tarball to create a filesystem image" },
  usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  operands: [1, 2],
  flags: {
    change: {
      type: "string",
      alias: "c",
      repeatable: true,
      valueHint: "list",
      description: "Apply Dockerfile instruction to the created image",
    },
    message: { type: "string", alias: "m", description: "Set commit message for imported image" },
    platform: { type: "string", description: "Set platform if server is multi-platform capable" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    const [source = "-", reference] = operands;
    const { change: changes, message, platform } = flags;
    printLine(await importImage(engine, { source, reference, changes, message, platform }));
    return 0;
  },
});
