/** kernel Documentation/scheduler/sched-bwc.rst, sched-design-CFS.rst */
import { EINVAL, isErrno } from "../../errors/error.ts";
import { writeInto } from "../../sys/file.ts";
import type { Controller } from "../controller.ts";
import { readPairs, writeControl } from "../file.ts";

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
    if (cpu.shares !== undefined && cpu.shares > 0) writeControl(directory, "cpu.shares", cpu.shares, "CPU shares");
    if (cpu.idle !== undefined) writeControl(directory, "cpu.idle", cpu.idle, "CPU idle");
    applyBandwidth(directory, cpu.period ?? 0, cpu.quota ?? 0);
    if (cpu.burst !== undefined) writeControl(directory, "cpu.cfs_burst_us", cpu.burst, "CPU burst");
    if (cpu.realtimePeriod !== undefined) {
      writeControl(directory, "cpu.rt_period_us", cpu.realtimePeriod, "CPU real-time period");
    }
    if (cpu.realtimeRuntime !== undefined) {
      writeControl(directory, "cpu.rt_runtime_us", cpu.realtimeRuntime, "CPU real-time runtime");
    }
  },
  addStats(directory, stats) {
    const stat = readPairs(directory, "cpu.stat");
    stats.cpuPeriods = stat.get("nr_periods") ?? 0;
    stats.cpuThrottledPeriods = stat.get("nr_throttled") ?? 0;
    stats.cpuThrottledNs = stat.get("throttled_time") ?? 0;
  },
};

/** Microseconds; 0 is unset. The kernel refuses a pair whose ratio exceeds its limits, so the order may have to be turned. */
function applyBandwidth(directory: string, period: number, quota: number): void {
  let isPeriodLeft = false;
  if (period !== 0) {
    try {
      writeInto(`${directory}/cpu.cfs_period_us`, String(period));
    } catch (error) {
      // The old quota does not go with the new period: the new quota first.
      if (!isErrno(error, EINVAL) || quota === 0) writeControl(directory, "cpu.cfs_period_us", period, "CPU period");
      isPeriodLeft = true;
    }
  }
  if (quota !== 0) writeControl(directory, "cpu.cfs_quota_us", quota, "CPU quota");
  if (isPeriodLeft) writeControl(directory, "cpu.cfs_period_us", period, "CPU period");
}
