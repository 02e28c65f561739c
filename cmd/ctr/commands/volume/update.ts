/** `ctr volume update`: Docker's, for volumes that only a swarm has. */
import { CtrError } from "../../../../internal/errors/error.ts";
import { defineCommand } from "../../command.ts";

export const command = defineCommand({
  meta: { name: "update", description: "Update a volume (of a swarm, so never here)" },
  usage: "[OPTIONS] VOLUME",
  operands: [1, 1],
  flags: {},
  run() {
    throw new CtrError("unsupported", "only volumes of a swarm can be updated, and there is no swarm here");
  },
});
