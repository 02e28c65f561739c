/** `ctr volume create`. */

import { checkLabel } from "../../../../internal/container/label-flag.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { CtrError } from "../../../../internal/errors/error.ts";
import { createVolume } from "../../../../internal/volume/store.ts";
import { defineCommand } from "../../command.ts";
import { asUsageError } from "../../option-errors.ts";
import { printLine } from "../../output.ts";

const FLAGS = {
  driver: { type: "string", alias: "d", default: "local", description: "Specify volume driver name" },
  label: { type: "string", repeatable: true, valueHint: "list", description: "Set metadata for a volume" },
  opt: { type: "string", alias: "o", repeatable: true, valueHint: "map", description: "Set driver specific options" },
  name: { type: "string", description: "Specify volume name" },
} as const;

export const command = defineCommand({
  meta: { name: "create", description: "Create a volume" },
  usage: "[OPTIONS] [VOLUME]",
  operands: [0, 1],
  flags: FLAGS,
  async run({ flags, operands, directories }) {
    const [operand] = operands;
    if (operand !== undefined && flags.name !== undefined) {
      throw new CtrError(
        "invalid",
        "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
      );
    }
    const labels = asUsageError("volume create", FLAGS, () => pairs(flags.label.map(checkLabel)));
    const name = operand ?? flags.name;
    using engine = openEngine(directories);
    const volume = createVolume(engine, name === "" ? undefined : name, {
      driver: flags.driver,
      options: pairs(flags.opt),
      labels,
    });
    printLine(volume.name);
    return 0;
  },
});

function pairs(texts: readonly string[]): { readonly [name: string]: string } {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf("=");
      return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
