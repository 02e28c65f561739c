/** `ctr system restore`: starts what its restart policy wants started. ctr-restore.service runs it at boot. */
import { restoreContainers } from "../../../../internal/container/restore.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { defineCommand } from "../../command.ts";
import { reportEach } from "../../report-each.ts";

export const command = defineCommand({
  meta: { name: "restore", description: "Start the containers that their restart policy wants started" },
  usage: "",
  flags: {},
  operands: [0, 0],
  async run({ directories }) {
    using engine = openEngine(directories);
    return await reportEach((progress) => restoreContainers(engine, progress));
  },
});
