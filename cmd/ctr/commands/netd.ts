/** `ctr netd install|uninstall|status|check|reconcile|reload`; `ctr netd` alone is the daemon itself (main.ts). */
import { CtrError } from "../../../internal/errors/error.ts";
import { connectNetd, ensureNetd } from "../../../internal/ipc/netd-client.ts";
import { type Call, defineCommand, INSPECT_HELP } from "../command.ts";
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
  "log-level": {
    type: "string",
    valueHint: "string",
    description: `With install: what netd logs ("error"|"warning"|"info"|"debug") (default "info")`,
  },
  format: {
    type: "string",
    alias: "f",
    description: `With status: ${INSPECT_HELP.slice(0, 1).toLowerCase()}${INSPECT_HELP.slice(1)}`,
  },
} as const;

export const command = defineCommand({
  meta: { name: "netd", description: "Manage the network daemon" },
  usage: "install|uninstall|status|check|reconcile|reload [OPTIONS]",
  flags,
  operands: [1, 1],
  async run(call) {
    const [verb = ""] = call.operands;
    switch (verb) {
      case "install": {
        const { install } = await import("./netd/install.ts");
        const { now, print, destdir, "log-level": logLevel } = call.flags;
        await install(call.directories, { now, print, destination: destdir, logLevel });
        return 0;
      }
      case "uninstall": {
        const { uninstall } = await import("./netd/install.ts");
        await uninstall(call.flags.destdir);
        return 0;
      }
      case "status": {
        const { status } = await import("./netd/status.ts");
        return await status(call.directories, call.flags.format);
      }
      case "check":
        return await check(call, call.flags.fix);
      case "reconcile":
        return await check(call, true);
      case "reload":
        return await reload(call);
      default:
        throw new CtrError(
          "invalid",
          `netd: unknown command ${verb}: one of install, uninstall, status, check, reconcile, reload`,
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

/** netd reads its configuration again and puts right what differs. What ExecReload= of its unit runs. */
async function reload({ directories }: Call<typeof flags>): Promise<number> {
  using netd = await connectNetd(directories);
  if (netd === undefined) throw new CtrError("unavailable", "netd: not running");
  for (const line of await netd.reload()) printLine(`repaired: ${line}`);
  return 0;
}
