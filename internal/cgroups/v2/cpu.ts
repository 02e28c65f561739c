/** kernel Documentation/admin-guide/cgroup-v2.rst, cpu */
import type { Controller } from "../controller.ts";
import { readControl, readPairs, writeControl } from "../file.ts";

export const cpu: Controller = {
  name: "cpu",
  isAlwaysMade: true,
  isAsked({ cpu }) {
    if (cpu === undefined) return false;
    const { cpus: _cpus, mems: _mems, ...own } = cpu;
    return Object.keys(own).length > 0;
  },
  apply(directory, { cpu }) {
    if (cpu === undefined) return;
    if (cpu.idle !== undefined) writeControl(directory, "cpu.idle", cpu.idle, "CPU idle");
    // An idle cgroup has no weight.
    if (cpu.shares !== undefined && cpu.shares > 0 && cpu.idle !== 1) {
      writeControl(directory, "cpu.weight", weightOfShares(cpu.shares), "CPU weight");
    }
    const { quota = 0, period = 0 } = cpu;
    if (quota !== 0 || period !== 0) {
      const [oldQuota = "max", oldPeriod = "100000"] = readControl(directory, "cpu.max").trim().split(" ");
      const newQuota = quota === 0 ? oldQuota : quota < 0 ? "max" : quota;
      writeControl(directory, "cpu.max", `${newQuota} ${period === 0 ? oldPeriod : period}`, "CPU quota");
    }
    if (cpu.burst !== undefined) writeControl(directory, "cpu.max.burst", cpu.burst, "CPU burst");
  },
  addStats(directory, stats) {
    const stat = readPairs(directory, "cpu.stat");
    const ns = (key: string) => (stat.get(key) ?? 0) * 1000;
    stats.cpuUsageNs = ns("usage_usec");
    stats.cpuUserNs = ns("user_usec");
    stats.cpuSystemNs = ns("system_usec");
    stats.cpuPeriods = stat.get("nr_periods") ?? 0;
    stats.cpuThrottledPeriods = stat.get("nr_throttled") ?? 0;
    stats.cpuThrottledNs = ns("throttled_usec");
  },
};

/**
 * v1's shares (2 to 262144, usual 1024) as v2's weight (1 to 10000, usual 100). A curve through all three points, the
 * one that current runc and crun use: with a straight line the usual share would get 39, less than any neighbour.
 */
export function weightOfShares(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}
