/** Making sockets in a container's network namespace: a socket stays in the namespace it was made in (setns(2)). */
import type { Fd } from "../../sys/fd.ts";
import { O_RDONLY, open } from "../../sys/fd.ts";
import { setns } from "../../sys/process.ts";
import { CLONE_NEWNET } from "../../sys/spawn.ts";

/**
 * Does `action` in another network namespace. Only this thread is there, and only until it returns: whatever `action`
 * needs the namespace for happens before its first wait. A thread that cannot come back would do netd's work on a
 * container's links, so it ends the process; the next netd takes over.
 */
export function inside<T>(namespace: Fd, action: () => T): T {
  using own = open("/proc/self/ns/net", O_RDONLY);
  setns(namespace.number, CLONE_NEWNET);
  try {
    return action();
  } finally {
    try {
      setns(own.number, CLONE_NEWNET);
    } catch {
      process.kill(process.pid, "SIGKILL");
    }
  }
}
