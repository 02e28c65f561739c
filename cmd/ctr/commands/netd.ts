/** `ctr netd install|uninstall|status|check|reconcile`; `ctr netd` alone is the daemon itself (main.ts). */
import { CtrError } from "../../../internal/errors/error.ts";
import { connectNetd, ensureNetd } from "../../../internal/ipc/netd-client.ts";
import { type Call, defineCommand } from "../command.ts";
import { printLine } from "../output.ts";

const flags = {
  fix: { type: "boolean", description: "With check: put right what differs" },
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
  usage: "install|uninstall|status|check|reconcile [OPTIONS]",
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
      case "check":
        return await check(call, call.flags.fix);
      case "reconcile":
        await check(call, true);
        return 0;
      default:
        throw new CtrError(
          "invalid",
          `netd: unknown command ${verb}: one of install, uninstall, status, check, reconcile`,
        );
    }
  },
});

/** One line for each difference between what is recorded and what the kernel has: 1 if there are any left. */
async function check({ directories }: Call<typeof flags>, fix: boolean): Promise<number> {
  using netd = await ensureNetd(directories);
  const differences = await netd.check(fix);
  for (const line of differences) printLine(fix ? `repaired: ${line}` : line);
  if (!fix) return differences.length === 0 ? 0 : 1;
  const left = differences.length === 0 ? [] : await netd.check(false);
  for (const line of left) printLine(`still: ${line}`);
  return left.length === 0 ? 0 : 1;
}

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
