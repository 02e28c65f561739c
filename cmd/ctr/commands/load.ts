/** `ctr load`: images from a tar archive or standard input. */
import { openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { loadImages } from "../../../internal/image/load.ts";
import { isTerminal } from "../../../internal/sys/terminal.ts";
import { defineCommand } from "../command.ts";
import { printLine } from "../output.ts";

const STDIN = 0;

export const command = defineCommand({
  meta: { name: "load", description: "Load an image from a tar archive or STDIN" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    input: { type: "string", alias: "i", description: "Read from tar archive file, instead of STDIN" },
    platform: { type: "string", description: "Load only the given platform variant. Formatted as os[/arch[/variant]]" },
    quiet: { type: "boolean", alias: "q", description: "Suppress the load output" },
  },
  async run({ flags, directories }) {
    if (flags.input === undefined && isTerminal(STDIN)) {
      throw new CtrError("invalid", "requested load from stdin, but stdin is empty");
    }
    using engine = openEngine(directories);
    // There is no progress to suppress: what was loaded is told in any case, as Docker does.
    for (const { id, references } of await loadImages(engine, flags.input ?? "-", flags.platform)) {
      for (const reference of references) printLine(`Loaded image: ${reference}`);
      if (references.length === 0) printLine(`Loaded image ID: ${id}`);
    }
    return 0;
  },
});
