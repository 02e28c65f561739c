/** `ctr netd install|uninstall|status`; `ctr netd` alone is the daemon itself (main.ts). */
import { CtrError } from "../../../internal/errors/error.ts";
import { connectNetd } from "../../../internal/ipc/netd-client.ts";
import { type Call, defineCommand } from "../command.ts";
import { printLine } from "../output.ts";

const flags = {
  now: { type: "boolean", description: "With install: start listening at once" },
  print: { type: "boolean", description: "With install: only print the units" },
  destdir: {
    type: "string",
    valueHint: "string",
    description: "Write below this directory instead of /, and leave systemd alone",
  },
} as const;

export const command = defineCommand({
  meta: { name: "netd", description: "Manage the network daemon" },
  usage: "install|uninstall|status [OPTIONS]",
  flags,
  operands: [1, 1],
  async run(call) {
    const [verb = ""] = call.operands;
    switch (verb) {
      case "install": {
        const { install } = await import("./netd/install.ts");
        const { now, print, destdir } = call.flags;
        await install(call.directories, { now, print, destination: destdir });
        return 0;
      }
      case "uninstall": {
        const { uninstall } = await import("./netd/install.ts");
        await uninstall(call.flags.destdir);
        return 0;
      }
      case "status":
        return await status(call);
      default:
        throw new CtrError("invalid", `netd: unknown command ${verb}: one of install, uninstall, status`);
    }
  },
});

/** Says whether netd runs: 0 if so, 3 if not, as `systemctl status` does. */
async function status({ directories }: Call<typeof flags>): Promise<number> {
  using netd = await connectNetd(directories);
  if (netd === undefined) {
    printLine("netd: not running");
    return 3;
  }
  const { version, pid, endpoints, socketActivated } = await netd.status();
  printLine(`netd: running, pid ${pid}, version ${version}`);
  printLine(`started by: ${socketActivated ? "systemd" : "ctr"}`);
  printLine(`endpoints: ${endpoints}`);
  for (const { name, driver, device, subnet } of await netd.networks()) {
    printLine(`network: ${name} (${driver})${device === undefined ? "" : ` ${device} ${subnet ?? ""}`}`);
  }
  return 0;
}
