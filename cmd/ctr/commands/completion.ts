/** `ctr completion`: the script that makes a shell complete ctr's commands, flags and names. */
import { CtrError } from "../../../internal/errors/error.ts";
import { defineCommand } from "../command.ts";
import { SCRIPTS, type Shell } from "../completion/scripts.ts";
import { print } from "../output.ts";

const SHELLS: readonly Shell[] = ["bash", "zsh", "fish"];

export const command = defineCommand({
  meta: { name: "completion", description: "Generate the completion script for a shell" },
  usage: "bash|zsh|fish",
  operands: [1, 1],
  flags: {},
  async run({ operands }) {
    const shell = SHELLS.find((name) => name === operands[0]);
    if (shell === undefined) {
      throw new CtrError("invalid", `no completion for ${JSON.stringify(operands[0])}: there is bash, zsh and fish`);
    }
    print(SCRIPTS[shell]);
    return 0;
  },
});
