/** `ctr top`: the host's `ps`, of it the lines of the container's processes. */
import { currentContainer } from "../../../internal/container/control.ts";
import { recordContainerEvent } from "../../../internal/container/event.ts";
import { processesOf } from "../../../internal/container/processes.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { defineCommand } from "../command.ts";
import { layoutTable } from "../format/table.ts";
import { print } from "../output.ts";

/** Docker's tabwriter for this one table. */
const LEAST_WIDTH = 20;

export const command = defineCommand({
  meta: { name: "top", description: "Display the running processes of a container" },
  usage: "CONTAINER [ps OPTIONS]",
  operands: [1, Number.POSITIVE_INFINITY],
  stopsAtOperand: true,
  flags: {},
  async run({ operands, directories }) {
    using engine = openEngine(directories);
    const [target = "", ...options] = operands;
    const record = currentContainer(engine, target);
    const pids = processesOf(record);
    recordContainerEvent(engine, record, "top");
    print(layoutTable(await psLines(options.join("").trim() === "" ? ["-ef"] : options, new Set(pids)), LEAST_WIDTH));
    return 0;
  },
});

/** Titles and the rows of these processes. Throws when `ps` refuses the options or shows no PID. */
async function psLines(options: readonly string[], pids: ReadonlySet<number>): Promise<readonly (readonly string[])[]> {
  let child: Bun.ReadableSubprocess;
  try {
    child = Bun.spawn(["ps", ...options], { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  } catch (error) {
    throw new CtrError("unavailable", "the host has no ps program: install procps", { cause: error });
  }
  const [output, complaint, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new CtrError("invalid", `ps: ${complaint.trim().split("\n")[0] ?? `status ${status}`}`);
  const [header = "", ...lines] = output.split("\n");
  const titles = header.trim().split(/\s+/);
  const pidColumn = titles.indexOf("PID");
  if (pidColumn < 0) throw new CtrError("invalid", "Couldn't find PID field in ps output");
  const rows = lines
    .filter((line) => line.trim() !== "")
    .map((line) => fieldsOf(line, titles.length))
    .filter((fields) => pids.has(Number(fields[pidColumn])));
  return [titles, ...rows];
}

/** The last column takes the rest of the line, with its blanks. */
function fieldsOf(line: string, count: number): readonly string[] {
  const words = line.trim().split(/\s+/);
  return words.length <= count ? words : [...words.slice(0, count - 1), words.slice(count - 1).join(" ")];
}
