/** What a cgroup controller is to the rest of this room. */
import type { Resources } from "../spec/runtime.ts";
import type { ControllerName } from "./layout.ts";

/** What a cgroup used; a field is absent where its controller is not there. Limits are absent where there is none. */
export interface Stats {
  memoryUsage?: number;
  memoryMaxUsage?: number;
  memoryLimit?: number;
  /** Page cache that can be dropped at once; `docker stats` takes it off the usage. */
  memoryInactiveFile?: number;
  cpuUsageNs?: number;
  cpuUserNs?: number;
  cpuSystemNs?: number;
  /** Enforcement periods that passed, and those in which the quota was used up (sched-bwc). */
  cpuPeriods?: number;
  cpuThrottledPeriods?: number;
  cpuThrottledNs?: number;
  pids?: number;
  pidsLimit?: number;
  ioReadBytes?: number;
  ioWriteBytes?: number;
}

export interface Controller {
  readonly name: ControllerName;
  /** Made for every container, for accounting or for control; the others only where their limits are asked for. */
  readonly isAlwaysMade: boolean;
  /** True if these resources hold something that only this controller can do. */
  isAsked(resources: Resources): boolean;
  /** Writes what is asked for; what is absent stays as it is. */
  apply(directory: string, resources: Resources): void;
  /** Adds what it counted. */
  addStats?(directory: string, stats: Stats): void;
}
