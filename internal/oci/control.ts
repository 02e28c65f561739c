/** What is done to a container that was made: signals, pause, other limits. */
import type { Cgroup } from "../cgroups/cgroup.ts";
import { CtrError } from "../errors/error.ts";
import type { IntelRdt, Resources } from "../spec/runtime.ts";
import { inCgroup, known, lockContainer, type OciContainer } from "./container.ts";
import { openInit, signalInit } from "./init-process.ts";

const SIGKILL = 9;

/** `kill`: a signal for PID 1, or with `isAll` for every process of the container. */
export async function killContainer(root: string, id: string, signal: number, isAll: boolean): Promise<void> {
  using directory = lockContainer(root, id);
  const container = known(directory);
  if (isAll) {
    (await cgroupOf(container)).signalAll(signal);
    return;
  }
  using pidfd = openInit(container);
  if (pidfd === undefined || !signalInit(pidfd, signal)) throw new CtrError("conflict", "container not running");
  // A frozen one would not end.
  if (signal === SIGKILL && directory.status(container) === "paused") (await cgroupOf(container)).thaw();
}

/** Loaded when it is needed: most signals are for PID 1 alone. */
async function cgroupOf({ cgroup }: OciContainer): Promise<Cgroup> {
  const { openCgroup } = await import("../cgroups/cgroup.ts");
  return openCgroup(cgroup);
}

/** `pause` */
export async function pauseContainer(root: string, id: string): Promise<void> {
  using directory = lockContainer(root, id);
  const container = known(directory);
  const status = directory.status(container);
  if (status !== "running" && status !== "created") throw new CtrError("conflict", "container not running");
  (await cgroupOf(container)).freeze();
}

/** `resume` */
export async function resumeContainer(root: string, id: string): Promise<void> {
  using directory = lockContainer(root, id);
  const container = known(directory);
  if (directory.status(container) !== "paused") throw new CtrError("conflict", "container not paused");
  (await cgroupOf(container)).thaw();
}

/** `update`: other limits, for a container that was not stopped. `rdt` are those of its class of service. */
export async function updateContainer(root: string, id: string, resources: Resources, rdt: IntelRdt): Promise<void> {
  using directory = lockContainer(root, id);
  const container = known(directory);
  if (directory.status(container) === "stopped") throw new CtrError("conflict", "container not running");
  if (Object.keys(rdt).length > 0) {
    if (container.resctrl === undefined)
      throw new CtrError(
        "unsupported",
        "the container has no class of service: its configuration has no linux.intelRdt",
      );
    const { updatePlace } = await import("../resctrl/resctrl.ts");
    updatePlace(container.resctrl, rdt);
  }
  const cgroup = await cgroupOf(container);
  const { parseSystemdPath } = await import("../cgroups/systemd/place.ts");
  const scope = parseSystemdPath(directory.readSpec()?.linux?.cgroupsPath ?? "");
  if (scope === undefined) {
    cgroup.update(resources);
  } else {
    const { limitScope } = await import("../cgroups/systemd/scope.ts");
    limitScope(scope, cgroup, resources);
  }
  // It may have got a directory more.
  directory.write({ ...container, ...inCgroup(cgroup) });
}
