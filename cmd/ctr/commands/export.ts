/** `ctr export`: a container's file system as a tar archive. */
import { exportContainer } from "../../../internal/container/export.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { outputFile, writeArchive } from "../write-archive.ts";

export const command = defineCommand({
  meta: { name: "export", description: "Export a container's filesystem as a tar archive" },
  usage: "[OPTIONS] CONTAINER",
  operands: [1, 1],
  flags: {
    output: { type: "string", alias: "o", description: "Write to a file, instead of STDOUT" },
  },
  async run({ flags, operands, directories }) {
    const output = outputFile("export container", flags.output);
    using engine = openEngine(directories);
    await writeArchive(output, exportContainer(engine, operands[0] ?? ""));
    return 0;
  },
});
