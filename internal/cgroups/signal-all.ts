/** Signals to processes that come and go. */
import { ESRCH, isErrno } from "../errors/error.ts";
import type { Fd } from "../sys/fd.ts";
import { pidfdSendSignal } from "../sys/process.ts";
import { openPidfd } from "./directories.ts";

/**
 * Signals what is listed both before and after its pidfd was opened: then the pidfd is of a process of ours, even if a
 * number was given to another process in between.
 */
export function signalAll(list: () => readonly number[], signal: number): void {
  using opened = new DisposableStack();
  const pidfds = new Map<number, Fd>();
  for (const pid of list()) {
    const pidfd = openPidfd(pid);
    if (pidfd !== undefined) pidfds.set(pid, opened.use(pidfd));
  }
  for (const pid of list()) {
    const pidfd = pidfds.get(pid);
    if (pidfd === undefined) continue;
    try {
      pidfdSendSignal(pidfd.number, signal);
    } catch (error) {
      if (!isErrno(error, ESRCH)) throw error;
    }
  }
}
