/** `ctr rename`: another name for a container; its id and its hostname stay. */

import { currentContainer, tellChanged } from "../../../internal/container/control.ts";
import type { ContainerRecord } from "../../../internal/container/record.ts";
import { renameContainer } from "../../../internal/container/store.ts";
import { type Engine, openEngine } from "../../../internal/db/engine.ts";
import { connectNetd } from "../../../internal/ipc/netd-client.ts";
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
    const renamed = renameContainer(engine, record.id, to.trim());
    await Promise.all([tellChanged(engine, renamed), tellNetd(engine, renamed)]);
    return 0;
  },
});

/** netd knows the name of whoever is in a network; without a netd nobody is. */
async function tellNetd(engine: Engine, { id, name, runtime }: ContainerRecord): Promise<void> {
  if (runtime.endpoint === undefined) return;
  using netd = await connectNetd(engine);
  await netd?.rename(id, name);
}
