/** `ctr save`: images into a tar archive. */
import { openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { saveImages } from "../../../internal/image/save.ts";
import { writeStreamAside } from "../../../internal/image/write-aside.ts";
import { isTerminal } from "../../../internal/sys/terminal.ts";
import { defineCommand } from "../command.ts";
import { STDOUT, writeOut } from "../output.ts";

export const command = defineCommand({
  meta: { name: "save", description: "Save one or more images to a tar archive (streamed to STDOUT by default)" },
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    output: { type: "string", alias: "o", description: "Write to a file, instead of STDOUT" },
  },
  async run({ flags, operands, directories }) {
    if (flags.output === undefined && isTerminal(STDOUT)) {
      throw new CtrError("invalid", "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    }
    using engine = openEngine(directories);
    const archive = saveImages(engine, operands);
    if (flags.output !== undefined) await writeStreamAside(flags.output, archive);
    else for await (const chunk of archive) writeOut(STDOUT, chunk);
    return 0;
  },
});
