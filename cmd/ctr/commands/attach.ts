/** `ctr attach`: the caller's streams and a running container's. */
import { refresh } from "../../../internal/container/collect.ts";
import { findContainer } from "../../../internal/container/store.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { attachToRunning } from "../attach-running.ts";
import { defineCommand } from "../command.ts";
import { chooseDetachKeys } from "../detach-keys.ts";
import { checkInputTerminal } from "../terminal.ts";

export const command = defineCommand({
  meta: {
    name: "attach",
    description: "Attach local standard input, output, and error streams to a running container",
  },
  usage: "[OPTIONS] CONTAINER",
  flags: {
    "detach-keys": { type: "string", description: "Override the key sequence for detaching a container" },
    "no-stdin": { type: "boolean", description: "Do not attach STDIN" },
    "sig-proxy": { type: "boolean", default: true, description: "Proxy all received signals to the process" },
  },
  operands: [1, 1],
  async run({ flags, operands, directories }) {
    const [name = ""] = operands;
    using engine = openEngine(directories);
    const record = refresh(engine, findContainer(engine, name));
    if (record === undefined) throw new CtrError("not-found", `No such container: ${name}`);
    switch (record.state) {
      case "running":
        break;
      case "paused":
        throw new CtrError("conflict", "cannot attach to a paused container, unpause it first");
      case "restarting":
        throw new CtrError("conflict", "cannot attach to a restarting container, wait until it is running");
      default:
        throw new CtrError("conflict", "cannot attach to a stopped container, start the container first");
    }
    const { Tty, OpenStdin } = record.config;
    const streams = { stdin: OpenStdin && !flags["no-stdin"], stdout: true, stderr: true };
    const detachKeys = chooseDetachKeys(flags["detach-keys"], Tty && streams.stdin);
    if (Tty && streams.stdin) checkInputTerminal();
    return await attachToRunning(engine, record, {
      streams,
      isTty: Tty,
      proxiesSignals: flags["sig-proxy"],
      detachKeys,
    });
  },
});
