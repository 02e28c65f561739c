/** Whether a cgroup is frozen, by its directory alone: asked at every `state`, and the cgroup room is not loaded for it. */
import { ENODEV, ENOENT, isErrno } from "../errors/error.ts";
import { readText } from "../sys/file.ts";

/** v1 has `freezer.state`, v2 `cgroup.events` (cgroups(7)). */
export function isFrozen(directory: string): boolean {
  try {
    return readText(`${directory}/freezer.state`).trim() === "FROZEN";
  } catch (error) {
    if (!isErrno(error, ENOENT, ENODEV)) throw error;
  }
  try {
    return readText(`${directory}/cgroup.events`).includes("frozen 1");
  } catch (error) {
    // The cgroup is gone, and so is whoever was in it.
    if (isErrno(error, ENOENT, ENODEV)) return false;
    throw error;
  }
}
