/** What is done to a container that was made: signals, pause, other limits. */
import { openCgroup } from "../cgroups/cgroup.ts";
import { parseSystemdPath } from "../cgroups/systemd/place.ts";
import { CtrError } from "../errors/error.ts";
import type { IntelRdt, Resources } from "../spec/runtime.ts";
import { known, lockContainer } from "./container.ts";
import { openInit, signalInit } from "./init-process.ts";

const SIGKILL = 9;

/** `kill`: a signal for PID 1, or with `isAll` for every process of the container. */
export function killContainer(root: string, id: string, signal: number, isAll: boolean): void {
  using directory = lockContainer(root, id);
  const container = known(directory);
  const cgroup = openCgroup(container.cgroup);
  if (isAll) {
    cgroup.signalAll(signal);
    return;
  }
  using pidfd = openInit(container);
  if (pidfd === undefined || !signalInit(pidfd, signal)) throw new CtrError("conflict", "container not running");
  // A frozen one would not end.
  if (signal === SIGKILL && directory.status(container) === "paused") cgroup.thaw();
}

/** `pause` */
export function pauseContainer(root: string, id: string): void {
  using directory = lockContainer(root, id);
  const container = known(directory);
  const status = directory.status(container);
  if (status !== "running" && status !== "created") throw new CtrError("conflict", "container not running");
  openCgroup(container.cgroup).freeze();
}

/** `resume` */
export function resumeContainer(root: string, id: string): void {
  using directory = lockContainer(root, id);
  const container = known(directory);
  if (directory.status(container) !== "paused") throw new CtrError("conflict", "container not paused");
  openCgroup(container.cgroup).thaw();
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
  const cgroup = openCgroup(container.cgroup);
  const scope = parseSystemdPath(directory.readSpec()?.linux?.cgroupsPath ?? "");
  if (scope === undefined) {
    cgroup.update(resources);
    return;
  }
  const { limitScope } = await import("../cgroups/systemd/scope.ts");
  limitScope(scope, cgroup, resources);
}
