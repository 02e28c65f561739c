/** The end of a container. */
import { removeUnused } from "../cgroups/birth.ts";
import { CtrError } from "../errors/error.ts";
import { POLLIN, poll } from "../sys/fd.ts";
import { type ContainerDirectory, lockContainer, type OciContainer } from "./container.ts";
import { poststopHooks } from "./hooks.ts";
import { openInit, signalInit } from "./init-process.ts";

const SIGKILL = 9;
const END_TIMEOUT_MS = 10_000;

/** `delete`: with force also of a container that runs, and of one that is not there. */
export async function deleteContainer(
  root: string,
  id: string,
  isForced: boolean,
  warn: (message: string) => void,
): Promise<void> {
  let directory: ContainerDirectory;
  try {
    directory = lockContainer(root, id);
  } catch (error) {
    if (isForced && error instanceof CtrError && error.kind === "not-found") return;
    throw error;
  }
  using owned = directory;
  const container = owned.read();
  const status = owned.status(container);
  if (status !== "stopped" && status !== "created" && !isForced) {
    throw new CtrError("conflict", `cannot delete container ${id} that is not stopped: ${status}`);
  }
  if (container !== undefined) await killInit(container);
  const hooks = owned.readSpec()?.hooks;
  await removeContainer(owned, container);
  if (container !== undefined) await poststopHooks(hooks, container, warn);
}

/** Ends PID 1 and waits for it; the rest of its PID namespace ends with it. */
export async function killInit(container: OciContainer): Promise<void> {
  using pidfd = openInit(container);
  if (pidfd === undefined) return;
  const { openCgroup } = await import("../cgroups/cgroup.ts");
  const cgroup = openCgroup(container.cgroup);
  signalInit(pidfd, SIGKILL);
  // A frozen one would not hear it.
  cgroup.thaw();
  if (poll(pidfd.number, POLLIN, END_TIMEOUT_MS) === 0)
    throw new CtrError("unavailable", "container init still running");
}

/** Removes what is left of a container that has ended: its processes, cgroup and directory. */
export async function removeContainer(
  directory: ContainerDirectory,
  container: OciContainer | undefined,
  hasFailed = false,
): Promise<void> {
  // Most often nobody is inside any more, and nothing more need be loaded.
  if (container !== undefined && container.cgroup !== "" && !removeUnused(container.cgroup)) {
    const { openCgroup } = await import("../cgroups/cgroup.ts");
    openCgroup(container.cgroup).destroy();
  }
  if (container?.resctrl !== undefined) {
    const { leavePlace } = await import("../resctrl/resctrl.ts");
    leavePlace(container.resctrl, hasFailed);
  }
  directory.remove();
}

/** What a container that has just ended leaves; somebody else may have been faster. */
export async function forgetContainer(root: string, id: string, warn: (message: string) => void): Promise<void> {
  try {
    await deleteContainer(root, id, false, warn);
  } catch (error) {
    if (!(error instanceof CtrError) || error.kind !== "not-found") throw error;
  }
}
