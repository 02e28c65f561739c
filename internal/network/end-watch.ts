/** Hearing of the ends of sandboxes. */
import { ENOSYS, ESRCH, isErrno } from "../errors/error.ts";
import type { Fd } from "../sys/fd.ts";
import { isRunning, pidfdOpen } from "../sys/process.ts";
import type { EndpointRecord } from "./store.ts";

export interface EndWatch extends Disposable {
  readonly descriptors: Map<number, () => void>;
  watch(endpoint: EndpointRecord, onEnd: () => void): void;
  forget(endpointId: string): void;
}

/**
 * Hears of the end of sandboxes' processes by pidfd: also when their namespace lives on in another process, and nobody is
 * left to say detach.
 */
export function createEndWatch(): EndWatch {
  const pidfds = new Map<string, Fd>();
  const descriptors = new Map<number, () => void>();
  const forget = (endpointId: string): void => {
    const pidfd = pidfds.get(endpointId);
    if (pidfd === undefined) return;
    pidfds.delete(endpointId);
    descriptors.delete(pidfd.number);
    pidfd.close();
  };
  const watch = ({ id, sandbox }: EndpointRecord, onEnd: () => void): void => {
    const { pid, startTime } = sandbox;
    if (pid === undefined || startTime === undefined) return;
    let pidfd: Fd;
    try {
      pidfd = pidfdOpen(pid);
    } catch (error) {
      if (isErrno(error, ENOSYS)) return; // before kernel 5.3: the link's end and the next netd still tell
      if (!isErrno(error, ESRCH)) throw error;
      onEnd();
      return;
    }
    pidfds.set(id, pidfd);
    descriptors.set(pidfd.number, () => {
      forget(id);
      onEnd();
    });
    if (!isRunning(pid, startTime)) onEnd();
  };
  return {
    descriptors,
    watch,
    forget,
    [Symbol.dispose]: () => {
      for (const pidfd of pidfds.values()) pidfd.close();
    },
  };
}
