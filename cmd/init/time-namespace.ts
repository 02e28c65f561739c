/** A time namespace of the container's own, with its offsets (time_namespaces(7)). Loaded only where one is asked for. */
import { openOwnProcFile } from "../../internal/rootfs/procfs.ts";
import type { Linux } from "../../internal/spec/runtime.ts";
import { writeAll } from "../../internal/sys/fd.ts";
import { unshare } from "../../internal/sys/process.ts";
import { CLONE_NEWTIME } from "../../internal/sys/spawn.ts";

/** A time namespace to be; disposing forgets it. */
export interface TimeNamespace extends Disposable {
  /**
   * Makes it for whatever this process executes next (kernel 6.3). From here on no thread can be started: one cannot live
   * in a time other than its process's.
   */
  enter(): void;
}

/** Opens the file of the offsets, which is out of reach once the root is the container's. */
export function openTimeNamespace(offsets: NonNullable<Linux["timeOffsets"]>): TimeNamespace {
  const file = openOwnProcFile("timens_offsets");
  return {
    enter() {
      unshare(CLONE_NEWTIME);
      const lines = Object.entries(offsets).map(
        ([clock, { secs = 0, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`,
      );
      if (lines.length > 0) writeAll(file.number, new TextEncoder().encode(lines.join("")));
    },
    [Symbol.dispose]: () => file.close(),
  };
}
