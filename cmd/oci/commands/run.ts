/** `run`: a container from a bundle, started at once. In the foreground its end is ours. */

import { runContainer } from "../../../internal/oci/create.ts";
import { forgetContainer } from "../../../internal/oci/delete.ts";
import { containerId, type OciCommand, warnIn } from "../command.ts";
import { BUNDLE_FLAGS, createOptions } from "../create-flags.ts";
import { waitForeground } from "../foreground.ts";

export const command: OciCommand = {
  flags: { ...BUNDLE_FLAGS, "detach,d": "switch", keep: "switch", "no-subreaper": "switch" },
  operands: [1, 1],
  usage: "[command options] <container-id>",
  summary: "create and run a container",
  failure: "ctr oci run failed",
  async run(call) {
    const isDetached = call.flags.isSet("detach");
    const id = containerId(call);
    const running = await runContainer(createOptions(call, id), isDetached);
    if (isDetached) return 0;
    const status = await waitForeground(running);
    if (!call.flags.isSet("keep")) await forgetContainer(call.globals.root, id, warnIn(call));
    return status;
  },
};
