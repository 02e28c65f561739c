/** `ctr run`: creates a container and starts it. */
import { generateId } from "../../../internal/container/names.ts";
import { type EarlyContainer, spawnSupervisor, spawnWithInit } from "../../../internal/container/spawn-supervisor.ts";
import { defineCommand, type Flags } from "../command.ts";
import { RUN_FLAGS } from "../container-flags.ts";

export const command = defineCommand({
  meta: { name: "run", description: "Create and run a new container from an image" },
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  flags: RUN_FLAGS,
  operands: [1, Number.POSITIVE_INFINITY],
  stopsAtOperand: true,
  failureStatus: 125,
  async run(call) {
    // The interpreters' start-up is the longest part of a start, so it begins before anything is known; told nothing,
    // the supervisor goes away again. What this command itself needs is loaded meanwhile.
    const id = generateId();
    const early = earlyContainer(id, call.flags);
    const supervisor = early === undefined ? spawnSupervisor(call.directories) : spawnWithInit(call.directories, early);
    try {
      const { runContainer } = await import("../run-container.ts");
      return await runContainer(call, supervisor, id);
    } finally {
      supervisor.socket.close();
      supervisor.init?.close();
    }
  },
});

const OWN_NETWORK = [undefined, "default", "bridge", "none"];

/** The cgroup or the namespaces are others than usual. */
const NOT_EARLY = ["cgroupns", "cpuset-cpus", "cpuset-mems"] as const;

/** What the supervisor may begin with; undefined where only the whole specification says what is needed. */
function earlyContainer(id: string, flags: Flags<typeof RUN_FLAGS>): EarlyContainer | undefined {
  const hasNetwork = OWN_NETWORK.includes(flags.network);
  const isPlain = (hasNetwork || flags.network === "host") && !flags.tty;
  const isOurCgroup = (process.env["CTR_CGROUP_DRIVER"] ?? "cgroupfs") === "cgroupfs";
  const isEarly = isPlain && isOurCgroup && NOT_EARLY.every((name) => flags[name] === undefined);
  if (!isEarly) return undefined;
  return {
    id,
    cgroupParent: flags["cgroup-parent"] ?? process.env["CTR_CGROUP_PARENT"] ?? "",
    hasNetwork,
    hasInput: flags.interactive,
  };
}
