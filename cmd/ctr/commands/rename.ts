/** `ctr rename`: another name for a container; its id and its hostname stay. */
import { currentContainer, tellChanged } from "../../../internal/container/control.ts";
import { renameContainer } from "../../../internal/container/store.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  meta: { name: "rename", description: "Rename a container" },
  usage: "CONTAINER NEW_NAME",
  operands: [2, 2],
  flags: {},
  async run({ operands, directories }) {
    using engine = openEngine(directories);
    const [from = "", to = ""] = operands;
    const record = currentContainer(engine, from.trim());
    await tellChanged(engine, renameContainer(engine, record.id, to.trim()));
    return 0;
  },
});
