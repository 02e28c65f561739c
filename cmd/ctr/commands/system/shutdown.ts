/** `ctr system shutdown`: stops what runs. ctr-restore.service runs it when the machine goes down. */
import { shutDownContainers } from "../../../../internal/container/restore.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { defineCommand } from "../../command.ts";
import { reportEach } from "../../report-each.ts";

export const command = defineCommand({
  meta: {
    name: "shutdown",
    description: "Stop all running containers; their restart policies still hold after a boot",
  },
  usage: "",
  flags: {},
  operands: [0, 0],
  async run({ directories }) {
    using engine = openEngine(directories);
    return await reportEach((progress) => shutDownContainers(engine, progress));
  },
});
