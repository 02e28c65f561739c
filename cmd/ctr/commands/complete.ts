/** `ctr __complete -- WORDS`: what the shells' scripts ask. The last word is being typed; each candidate is a line. */

import { type Directories, defineCommand } from "../command.ts";
import { complete } from "../completion/candidates.ts";
import { namesIn } from "../completion/names.ts";
import { parseFlags } from "../flags.ts";
import { engineDirectories, GLOBAL_FLAGS } from "../global-flags.ts";
import { print } from "../output.ts";

/** The last line tells how the shell goes on, by these bits, as cobra's completions do. */
const NO_SPACE = 2;
const NO_FILES = 4;

export const command = defineCommand({
  meta: { name: "__complete", description: "Complete a command line" },
  usage: "-- [WORD...]",
  operands: [0, Number.POSITIVE_INFINITY],
  stopsAtOperand: true,
  flags: {},
  async run({ operands, directories }) {
    const names = namesIn(typedDirectories(operands) ?? directories);
    const { candidates, mayBeFile, isUnfinished } = await complete(operands, GLOBAL_FLAGS, names);
    const lines = candidates.map(({ word, description }) => (description === "" ? word : `${word}\t${description}`));
    print([...lines, `:${(isUnfinished ? NO_SPACE : 0) | (mayBeFile ? 0 : NO_FILES)}`, ""].join("\n"));
    return 0;
  },
});

/** The engine that the command line names with `--root` and `--state`. */
function typedDirectories(words: readonly string[]): Directories | undefined {
  try {
    return engineDirectories(parseFlags(GLOBAL_FLAGS, words.slice(0, -1), true).values);
  } catch {
    // A line that is not finished need not be right; the names are then those of the usual engine.
    return undefined;
  }
}
