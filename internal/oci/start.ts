/** `start`: the program of a created container. */
import { CtrError } from "../errors/error.ts";
import { atStart } from "../runtime/late-limits.ts";
import { startHeld } from "../runtime/start-held.ts";
import { visitHeld } from "../runtime/visit-held.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { unlinkat } from "../sys/file.ts";
import { noProcess } from "./config-file.ts";
import { known, lockContainer } from "./container.ts";
import { poststartHooks } from "./hooks.ts";
import { openInit } from "./init-process.ts";

/** Throws with status 126 or 127 when the program cannot be run. */
export async function startContainer(root: string, id: string, notifySocket?: string): Promise<void> {
  using directory = lockContainer(root, id);
  const container = known(directory);
  const status = directory.status(container);
  if (status === "stopped") throw new CtrError("conflict", "cannot start a container that has stopped");
  if (status !== "created") throw new CtrError("conflict", "cannot start an already running container");
  const spec = directory.readSpec();
  if (spec?.process.args.length === 0) throw noProcess();
  using visitor = visitHeld(directory.startSocket);
  if (visitor === undefined) throw new CtrError("conflict", "cannot start an already running container");
  const notify = notifySocket === undefined ? undefined : await import("./notify-socket.ts");
  using listener = notify?.bindNotifySocket(directory);
  await startHeld(visitor);
  const late = spec === undefined ? undefined : atStart(spec);
  if (late !== undefined) {
    const { openCgroup } = await import("../cgroups/cgroup.ts");
    openCgroup(container.cgroup).update(late);
  }
  unlinkat(AT_FDCWD, directory.startSocket);
  try {
    await poststartHooks(spec?.hooks, container, container.init?.pid ?? 0);
  } catch (error) {
    // runtime.md#lifecycle: it is stopped. What it was is there until it is deleted, as after any other failed start.
    const { killInit } = await import("./delete.ts");
    await killInit(container);
    throw error;
  }
  if (notifySocket === undefined || listener === undefined) return;
  // From here on anybody may do something to it.
  directory[Symbol.dispose]();
  using init = openInit(container);
  if (init !== undefined) notify?.passOnReadiness(listener, init, notifySocket, container.init?.pid ?? 0);
}
