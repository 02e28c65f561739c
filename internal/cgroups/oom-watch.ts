/** Hearing at once that a cgroup has run out of memory, instead of finding it in its counters afterwards. */
import { EAGAIN, isErrno } from "../errors/error.ts";
import { AT_FDCWD, O_RDONLY, open, read } from "../sys/fd.ts";
import { exists, writeInto } from "../sys/file.ts";
import { eventfd, IN_MODIFY, inotifyAddWatch, inotifyDrain, inotifyInit } from "../sys/watch.ts";
import { oomKills } from "./v2/memory.ts";

export interface OomWatch extends Disposable {
  /** Readable when `hasHappened` ought to be asked. */
  readonly fd: number;
  /** True if it has run out of memory since this was asked last. */
  hasHappened(): boolean;
}

/** Watches the memory controller's directory of a cgroup. */
export function watchOom(directory: string): OomWatch {
  return exists(AT_FDCWD, `${directory}/memory.events`) ? watchV2(directory) : watchV1(directory);
}

/** The file of counters is reported as modified (kernel cgroup-v2.rst, memory.events); it counts other things too. */
function watchV2(directory: string): OomWatch {
  using stack = new DisposableStack();
  const watch = stack.use(inotifyInit());
  inotifyAddWatch(watch.number, `${directory}/memory.events`, IN_MODIFY);
  let known = oomKills(directory);
  const owned = stack.move();
  return {
    fd: watch.number,
    hasHappened() {
      inotifyDrain(watch.number);
      const before = known;
      known = oomKills(directory);
      return known > before;
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** An eventfd that the kernel writes to before it kills (kernel cgroup-v1/memory.rst, section 10). */
function watchV1(directory: string): OomWatch {
  using stack = new DisposableStack();
  const event = stack.use(eventfd());
  {
    using control = open(`${directory}/memory.oom_control`, O_RDONLY);
    writeInto(`${directory}/cgroup.event_control`, `${event.number} ${control.number}`);
  }
  const owned = stack.move();
  return {
    fd: event.number,
    hasHappened() {
      try {
        return read(event.number, new Uint8Array(8)) > 0;
      } catch (error) {
        if (isErrno(error, EAGAIN)) return false;
        throw error;
      }
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}
