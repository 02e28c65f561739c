/** `events`: what a container uses, once or every few seconds, and that the kernel killed in it for memory. */
import { openCgroup } from "../../../internal/cgroups/cgroup.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { type ContainerDirectory, known, type OciContainer, openContainer } from "../../../internal/oci/container.ts";
import { openInit } from "../../../internal/oci/init-process.ts";
import { statsOf } from "../../../internal/oci/stats.ts";
import { POLLIN, poll } from "../../../internal/sys/fd.ts";
import { containerId, type OciCommand } from "../command.ts";
import { print } from "../log.ts";

const DEFAULT_INTERVAL = "5s";

export const command: OciCommand = {
  flags: { interval: "text", stats: "switch" },
  operands: [1, 1],
  usage: "[command options] <container-id>",
  summary: "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
  async run(call) {
    using directory = openContainer(call.globals.root, containerId(call));
    const container = known(directory);
    if (directory.status(container) === "stopped") throw stopped(container);
    if (call.flags.isSet("stats")) {
      await printStats(container);
      return 0;
    }
    await follow(directory, container, milliseconds(call.flags.text("interval") ?? DEFAULT_INTERVAL));
    return 0;
  },
};

function stopped({ id }: OciContainer): CtrError {
  return new CtrError("conflict", `container with id ${id} is not running`);
}

async function printStats({ id, cgroup, resctrl }: OciContainer): Promise<void> {
  const rdt = resctrl === undefined ? {} : (await import("../../../internal/resctrl/stats.ts")).resctrlStats(resctrl);
  print(`${JSON.stringify({ type: "stats", id, data: statsOf(cgroup, rdt) })}\n`);
}

/** Until the container ends. */
async function follow(directory: ContainerDirectory, container: OciContainer, intervalMs: number): Promise<void> {
  using init = openInit(container);
  if (init === undefined) throw stopped(container);
  let wasKilled = false;
  // Its end is the event that is waited for; what it uses is looked at as often as was asked for.
  while (poll(init.number, POLLIN, intervalMs) === 0 && directory.isThere()) {
    const isKilled = openCgroup(container.cgroup).oomKilled();
    if (isKilled && !wasKilled) print(`${JSON.stringify({ type: "oom", id: container.id })}\n`);
    wasKilled = isKilled;
    await printStats(container);
  }
}

const UNITS: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A Go duration: `1m30s`. */
function milliseconds(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const total = parts.reduce((sum, [, number, unit = ""]) => sum + Number(number) * (UNITS[unit] ?? 0), 0);
  if (parts.map(([all]) => all).join("") === text && total >= 1) return Math.round(total);
  throw new CtrError("invalid", "duration interval must be greater than 0");
}
