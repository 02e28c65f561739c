/** The processes of a container, as the host sees them. */
import { openCgroup } from "../cgroups/cgroup.ts";
import { CtrError } from "../errors/error.ts";
import { cgroupPathOf } from "./cgroup-place.ts";
import type { ContainerRecord } from "./record.ts";
import { isLive } from "./states.ts";

/** Host pids of everything in its cgroup. Throws `conflict` when it does not run. */
export function processesOf(record: ContainerRecord): readonly number[] {
  if (!isLive(record.state)) throw new CtrError("conflict", `container ${record.id} is not running`);
  return openCgroup(cgroupPathOf(record)).pids();
}
