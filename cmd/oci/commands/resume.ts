/** `resume`: they go on. */
import { resumeContainer } from "../../../internal/oci/control.ts";
import { containerId, type OciCommand } from "../command.ts";

export const command: OciCommand = {
  flags: {},
  operands: [1, 1],
  usage: "<container-id>",
  summary: "resumes all processes that have been previously paused",
  async run(call) {
    await resumeContainer(call.globals.root, containerId(call));
    return 0;
  },
};
