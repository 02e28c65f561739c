/** kernel Documentation/admin-guide/cgroup-v1/cpuacct.rst: it only counts. */
import type { Controller } from "../controller.ts";
import { readLimit } from "../file.ts";

export const cpuacct: Controller = {
  name: "cpuacct",
  isAlwaysMade: true,
  isAsked: () => false,
  apply() {},
  addStats(directory, stats) {
    stats.cpuUsageNs = readLimit(directory, "cpuacct.usage") ?? 0;
    stats.cpuUserNs = readLimit(directory, "cpuacct.usage_user") ?? 0;
    stats.cpuSystemNs = readLimit(directory, "cpuacct.usage_sys") ?? 0;
  },
};
