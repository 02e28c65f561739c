/** `ctr run`: creates a container and starts it. */
import { generateId } from "../../../internal/container/names.ts";
import {
  dismiss,
  type EarlyContainer,
  spawnSupervisor,
  spawnWithInit,
} from "../../../internal/container/spawn-supervisor.ts";
import { AT_FDCWD } from "../../../internal/sys/fd.ts";
import { exists } from "../../../internal/sys/file.ts";
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
    const early = await earlyContainer(id, call.flags);
    const supervisor = early === undefined ? spawnSupervisor(call.directories) : spawnWithInit(call.directories, early);
    try {
      const { runContainer } = await import("../run-container.ts");
      return await runContainer(call, supervisor, id);
    } finally {
      dismiss(supervisor);
    }
  },
});

/** internal/db/engine-config.ts, which is loaded only if there is one. */
const ENGINE_CONFIG = "/etc/ctr/engine.toml";
/** Another's network: of these, and of what the long form may say, only the whole specification tells. */
const SHARED_NETWORK = /^(host$|container:|.*=)/;

/** The cgroup or the namespaces are others than usual. */
const NOT_EARLY = ["cgroupns", "cpuset-cpus", "cpuset-mems", "ipc", "pid", "userns", "uts"] as const;

/** What the supervisor may begin with; undefined where only the whole specification says what is needed. */
async function earlyContainer(id: string, flags: Flags<typeof RUN_FLAGS>): Promise<EarlyContainer | undefined> {
  const hasNetwork = flags.network.every((network) => !SHARED_NETWORK.test(network));
  const isHost = flags.network.length === 1 && flags.network[0] === "host";
  const isPlain = (hasNetwork || isHost) && !flags.tty;
  const isEarly = isPlain && NOT_EARLY.every((name) => flags[name] === undefined);
  const cgroupParent = isEarly ? await earlyParent(flags["cgroup-parent"]) : undefined;
  if (cgroupParent === undefined) return undefined;
  return {
    id,
    cgroupParent,
    hasNetwork,
    hasInput: flags.interactive,
  };
}

/** Where its cgroup can be made at once; undefined if systemd makes it, or it gets a user namespace. The rules are loaded only where there are any. */
async function earlyParent(flag: string | undefined): Promise<string | undefined> {
  const { CTR_CGROUP_DRIVER, CTR_CGROUP_PARENT = "", CTR_CONFIG } = process.env;
  const hasSettings = CTR_CGROUP_DRIVER !== undefined || CTR_CONFIG !== undefined || exists(AT_FDCWD, ENGINE_CONFIG);
  if (!hasSettings) return flag === undefined || flag === "" ? CTR_CGROUP_PARENT : flag;
  const { remapsByDefault } = await import("../../../internal/container/userns-mode.ts");
  if (remapsByDefault(process.env)) return undefined;
  const { newCgroupPlace } = await import("../../../internal/container/cgroup-place.ts");
  const { CgroupDriver, CgroupParent } = newCgroupPlace(flag, process.env);
  return CgroupDriver === undefined ? CgroupParent : undefined;
}
