/** `start`: the program of a container that was created. */
import { startContainer } from "../../../internal/oci/start.ts";
import { containerId, type OciCommand } from "../command.ts";
import { notifySocket } from "../create-flags.ts";

export const command: OciCommand = {
  flags: {},
  operands: [1, 1],
  usage: "<container-id>",
  summary: "executes the user defined process in a created container",
  async run(call) {
    await startContainer(call.globals.root, containerId(call), notifySocket().notifySocket);
    return 0;
  },
};
