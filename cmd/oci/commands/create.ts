/** `create`: a container from a bundle, all but its program in place. */
import { begin } from "../../../internal/oci/begin.ts";
import { containerId, type OciCommand } from "../command.ts";
import { BUNDLE_FLAGS, createOptions } from "../create-flags.ts";

export const command: OciCommand = {
  flags: BUNDLE_FLAGS,
  operands: [1, 1],
  usage: "[command options] <container-id>",
  summary: "create a container",
  failure: "ctr oci create failed",
  async run(call) {
    const options = createOptions(call, containerId(call));
    // The rest is loaded while init starts.
    const begun = begin(options, true);
    const { createContainer } = await import("../../../internal/oci/create.ts");
    await createContainer(options, begun);
    return 0;
  },
};
