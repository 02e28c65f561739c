/** `pause`: every process of a container stands still. */
import { pauseContainer } from "../../../internal/oci/control.ts";
import { containerId, type OciCommand } from "../command.ts";

export const command: OciCommand = {
  flags: {},
  operands: [1, 1],
  usage: "<container-id>",
  summary: "pause suspends all processes inside the container",
  async run(call) {
    await pauseContainer(call.globals.root, containerId(call));
    return 0;
  },
};
