/** kernel Documentation/admin-guide/cgroup-v1/pids.rst; the files are the same in v2. */
import type { Controller } from "../controller.ts";
import { readLimit, writeControl } from "../file.ts";

export const pids: Controller = {
  name: "pids",
  isAlwaysMade: true,
  isAsked: ({ pids }) => (pids?.limit ?? 0) > 0,
  apply(directory, { pids }) {
    const { limit } = pids ?? {};
    if (limit !== undefined) writeControl(directory, "pids.max", limit > 0 ? limit : "max", "pids limit");
  },
  addStats(directory, stats) {
    stats.pids = readLimit(directory, "pids.current") ?? 0;
    const limit = readLimit(directory, "pids.max");
    if (limit !== undefined) stats.pidsLimit = limit;
  },
};
