/** Doing one thing of init's in the network namespace of its supervisor, which is the host's. */
import { CtrError } from "../errors/error.ts";
import { O_RDONLY, open } from "../sys/fd.ts";
import { readText } from "../sys/file.ts";
import { setns } from "../sys/process.ts";
import { CLONE_NEWNET } from "../sys/spawn.ts";

/**
 * Runs `action` in the supervisor's network namespace. Only before pivot_root: /proc is the host's until then, and the
 * parent in it is the supervisor. `action` must not wait for anything but system calls: only this thread is there.
 */
export function inSupervisorsNetwork<T>(action: () => T): T {
  const [, parent] = /^PPid:\s*(\d+)$/m.exec(readText("/proc/self/status")) ?? [];
  if (parent === undefined || parent === "0") throw new CtrError("internal", "init does not see its supervisor");
  using own = open("/proc/self/ns/net", O_RDONLY);
  using supervisors = open(`/proc/${parent}/ns/net`, O_RDONLY);
  setns(supervisors.number, CLONE_NEWNET);
  try {
    return action();
  } finally {
    setns(own.number, CLONE_NEWNET);
  }
}
