/** PID 1 of a container, held by a descriptor so that its number cannot become another process's. */
import { ESRCH, isErrno } from "../errors/error.ts";
import type { Fd } from "../sys/fd.ts";
import { isRunning, pidfdOpen, pidfdSendSignal } from "../sys/process.ts";
import type { OciContainer } from "./container.ts";

/** Undefined once it has ended. */
export function openInit({ init }: OciContainer): Fd | undefined {
  if (init === undefined) return undefined;
  let pidfd: Fd;
  try {
    pidfd = pidfdOpen(init.pid);
  } catch (error) {
    if (isErrno(error, ESRCH)) return undefined;
    throw error;
  }
  // Looked at when the descriptor is there: what it names is then what is meant.
  if (isRunning(init.pid, init.startTime)) return pidfd;
  pidfd.close();
  return undefined;
}

/** Sends a signal; false if the process has ended since it was looked at. */
export function signalInit(pidfd: Fd, signal: number): boolean {
  try {
    pidfdSendSignal(pidfd.number, signal);
    return true;
  } catch (error) {
    if (isErrno(error, ESRCH)) return false;
    throw error;
  }
}
