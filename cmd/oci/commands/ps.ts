/** `ps`: the processes of a container. */
import { openCgroup } from "../../../internal/cgroups/cgroup.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { known, openContainer } from "../../../internal/oci/container.ts";
import { containerId, type OciCommand } from "../command.ts";
import { print } from "../log.ts";

export const command: OciCommand = {
  flags: { "format,f": "text" },
  operands: [1, Number.POSITIVE_INFINITY],
  usage: "[command options] <container-id> [ps options]",
  summary: "ps displays the processes running inside a container",
  stopsAtOperand: true,
  async run(call) {
    using directory = openContainer(call.globals.root, containerId(call));
    const pids = openCgroup(known(directory).cgroup).pids();
    switch (call.flags.text("format") ?? "table") {
      case "json":
        print(pids.length === 0 ? "null\n" : `${JSON.stringify(pids)}\n`);
        return 0;
      case "table":
        print(await processTable(call.operands.slice(1), new Set(pids)));
        return 0;
      default:
        throw new CtrError("invalid", "invalid format option");
    }
  },
};

/** What this machine's ps(1) says about them. */
async function processTable(options: readonly string[], pids: ReadonlySet<number>): Promise<string> {
  const ps = Bun.spawn(["ps", ...(options.length === 0 ? ["-ef"] : options)], { stdout: "pipe", stderr: "inherit" });
  const [header = "", ...lines] = (await new Response(ps.stdout).text()).split("\n");
  if ((await ps.exited) !== 0) throw new CtrError("invalid", "ps failed");
  const column = header.trim().split(/\s+/).indexOf("PID");
  if (column < 0) throw new CtrError("invalid", "couldn't find PID field in ps output");
  const shown = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])));
  return [header, ...shown].map((line) => `${line}\n`).join("");
}
