/** `delete`: what a container has left. */
import { deleteContainer } from "../../../internal/oci/delete.ts";
import { containerId, type OciCommand, warnIn } from "../command.ts";

export const command: OciCommand = {
  flags: { "force,f": "switch" },
  operands: [1, 1],
  usage: "[command options] <container-id>",
  summary: "delete any resources held by the container often used with detached container",
  async run(call) {
    await deleteContainer(call.globals.root, containerId(call), call.flags.isSet("force"), warnIn(call));
    return 0;
  },
};
