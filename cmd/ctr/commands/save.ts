/** `ctr save`: images into a tar archive. */
import { openEngine } from "../../../internal/db/engine.ts";
import { requirePlatform } from "../../../internal/image/inspect.ts";
import { saveImages } from "../../../internal/image/save.ts";
import { defineCommand } from "../command.ts";
import { outputFile, writeArchive } from "../write-archive.ts";

export const command = defineCommand({
  meta: { name: "save", description: "Save one or more images to a tar archive (streamed to STDOUT by default)" },
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    output: { type: "string", alias: "o", description: "Write to a file, instead of STDOUT" },
    platform: {
      type: "string",
      description: 'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
  },
  async run({ flags, operands, directories }) {
    const output = outputFile("save image", flags.output);
    using engine = openEngine(directories);
    const { platform } = flags;
    if (platform !== undefined) for (const image of operands) requirePlatform(engine, image, platform);
    await writeArchive(output, saveImages(engine, operands));
    return 0;
  },
});
