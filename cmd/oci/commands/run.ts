/** `run`: a container from a bundle, started at once. In the foreground its end is ours. */

import { begin } from "../../../internal/oci/begin.ts";
import type { RunningProgram } from "../../../internal/oci/create.ts";
import { forwardSignals } from "../../../internal/sys/process.ts";
import { containerId, type OciCommand, warnIn } from "../command.ts";
import { BUNDLE_FLAGS, createOptions, notifySocket } from "../create-flags.ts";
import { holdForwarded, waitForeground } from "../foreground.ts";

export const command: OciCommand = {
  flags: { ...BUNDLE_FLAGS, "detach,d": "switch", keep: "switch", "no-subreaper": "switch" },
  operands: [1, 1],
  usage: "[command options] <container-id>",
  summary: "create and run a container",
  failure: "ctr oci run failed",
  async run(call) {
    const isDetached = call.flags.isSet("detach");
    const id = containerId(call);
    const options = createOptions(call, id);
    if (!isDetached) holdForwarded();
    const begun = begin(options, false);
    // The rest is loaded while init starts.
    const [{ runContainer }, { forgetContainer }] = await Promise.all([
      import("../../../internal/oci/create.ts"),
      import("../../../internal/oci/delete.ts"),
    ]);
    const running = await runContainer(options, begun, isDetached);
    if (running.notifyListener !== undefined) await waitReady(running, isDetached);
    if (isDetached) return 0;
    const status = await waitForeground(running);
    if (!call.flags.isSet("keep")) await forgetContainer(call.globals.root, id, warnIn(call));
    return status;
  },
};

/**
 * Has the service manager know when the program is ready. In the foreground it is us whom it is to look at. A program with a
 * terminal needs our attention meanwhile.
 */
async function waitReady({ pid, pidfd, terminal, notifyListener }: RunningProgram, isDetached: boolean): Promise<void> {
  const { notifySocket: manager } = notifySocket();
  if (notifyListener === undefined || manager === undefined) return;
  const { passOnReadiness, passOnWhenReady } = await import("../../../internal/oci/notify-socket.ts");
  if (isDetached) return passOnReadiness(notifyListener, pidfd, manager, pid);
  if (terminal === undefined) {
    forwardSignals(pidfd.number);
    return passOnReadiness(notifyListener, pidfd, manager, process.pid);
  }
  void passOnWhenReady(notifyListener, manager, process.pid);
}
