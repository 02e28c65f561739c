/** `create`: a container from a bundle, all but its program in place. */
import { createContainer } from "../../../internal/oci/create.ts";
import { containerId, type OciCommand } from "../command.ts";
import { BUNDLE_FLAGS, createOptions } from "../create-flags.ts";

export const command: OciCommand = {
  flags: BUNDLE_FLAGS,
  operands: [1, 1],
  usage: "[command options] <container-id>",
  summary: "create a container",
  failure: "ctr oci create failed",
  async run(call) {
    await createContainer(createOptions(call, containerId(call)));
    return 0;
  },
};
