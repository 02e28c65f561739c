/** `ctr volume create`. */
import { openEngine } from "../../../../internal/db/engine.ts";
import { CtrError } from "../../../../internal/errors/error.ts";
import { createVolume } from "../../../../internal/volume/store.ts";
import { defineCommand } from "../../command.ts";
import { printLine } from "../../output.ts";

export const command = defineCommand({
  meta: { name: "create", description: "Create a volume" },
  usage: "[OPTIONS] [VOLUME]",
  operands: [0, 1],
  flags: {
    driver: { type: "string", alias: "d", default: "local", description: "Specify volume driver name" },
    label: { type: "string", repeatable: true, valueHint: "list", description: "Set metadata for a volume" },
    opt: { type: "string", alias: "o", repeatable: true, valueHint: "map", description: "Set driver specific options" },
    name: { type: "string", description: "Specify volume name" },
  },
  async run({ flags, operands, directories }) {
    const [operand] = operands;
    if (operand !== undefined && flags.name !== undefined) {
      throw new CtrError(
        "invalid",
        "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
      );
    }
    const name = operand ?? flags.name;
    using engine = openEngine(directories);
    const volume = createVolume(engine, name === "" ? undefined : name, {
      driver: flags.driver,
      options: pairs(flags.opt),
      labels: pairs(flags.label),
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
