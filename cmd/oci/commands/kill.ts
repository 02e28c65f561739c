/** `kill`: a signal for a container. */
import { CtrError } from "../../../internal/errors/error.ts";
import { killContainer } from "../../../internal/oci/control.ts";
import { signalNumber } from "../../../internal/sys/signals.ts";
import { containerId, type OciCommand } from "../command.ts";

export const command: OciCommand = {
  flags: { "all,a": "switch" },
  operands: [1, 2],
  usage: "[command options] <container-id> [signal]",
  summary: "kill sends the specified signal (default: SIGTERM) to the container's init process",
  async run(call) {
    const word = call.operands[1] ?? "SIGTERM";
    const signal = word === "0" ? 0 : signalNumber(word);
    if (signal === undefined) throw new CtrError("invalid", `unknown signal "${word.toUpperCase()}"`);
    await killContainer(call.globals.root, containerId(call), signal, call.flags.isSet("all"));
    return 0;
  },
};
