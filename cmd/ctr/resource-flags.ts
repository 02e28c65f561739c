/** The flags about resources: those that `update` has too, and those of a new container only. */
import type { FlagDefinitions, StringFlag } from "./command.ts";

function list(valueHint: string, description: string) {
  return { type: "string", valueHint, repeatable: true, description } as const satisfies StringFlag;
}

/** In `run`, `create` and `update`. */
export const UPDATABLE_FLAGS = {
  "blkio-weight": {
    type: "string",
    valueHint: "uint16",
    description: "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
  },
  "cpu-period": { type: "string", valueHint: "int", description: "Limit CPU CFS (Completely Fair Scheduler) period" },
  "cpu-quota": { type: "string", valueHint: "int", description: "Limit CPU CFS (Completely Fair Scheduler) quota" },
  "cpu-rt-period": { type: "string", valueHint: "int", description: "Limit CPU real-time period in microseconds" },
  "cpu-rt-runtime": { type: "string", valueHint: "int", description: "Limit CPU real-time runtime in microseconds" },
  "cpu-shares": { type: "string", alias: "c", valueHint: "int", description: "CPU shares (relative weight)" },
  cpus: { type: "string", valueHint: "decimal", description: "Number of CPUs" },
  "cpuset-cpus": { type: "string", description: "CPUs in which to allow execution (0-3, 0,1)" },
  "cpuset-mems": { type: "string", description: "MEMs in which to allow execution (0-3, 0,1)" },
  memory: { type: "string", alias: "m", valueHint: "bytes", description: "Memory limit" },
  "memory-reservation": { type: "string", valueHint: "bytes", description: "Memory soft limit" },
  "memory-swap": {
    type: "string",
    valueHint: "bytes",
    description: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
  },
  "pids-limit": { type: "string", valueHint: "int", description: "Tune container pids limit (set -1 for unlimited)" },
} as const satisfies FlagDefinitions;

/** In `run` and `create`. */
export const RESOURCE_FLAGS = {
  ...UPDATABLE_FLAGS,
  "blkio-weight-device": list("list", "Block IO weight (relative device weight)"),
  "cgroup-parent": { type: "string", description: "Optional parent cgroup for the container" },
  cgroupns: {
    type: "string",
    description:
      "Cgroup namespace to use (host|private)\n'host':    Run the container in the host's cgroup namespace\n" +
      "'private': Run the container in its own private cgroup namespace\n" +
      "'':        Private on cgroup v2, the host's on v1 (default)",
  },
  device: list("list", "Add a host device to the container"),
  "device-cgroup-rule": list("list", "Add a rule to the cgroup allowed devices list"),
  "device-read-bps": list("list", "Limit read rate (bytes per second) from a device"),
  "device-read-iops": list("list", "Limit read rate (IO per second) from a device"),
  "device-write-bps": list("list", "Limit write rate (bytes per second) to a device"),
  "device-write-iops": list("list", "Limit write rate (IO per second) to a device"),
  "memory-swappiness": {
    type: "string",
    valueHint: "int",
    default: "-1",
    description: "Tune container memory swappiness (0 to 100)",
  },
  "oom-kill-disable": { type: "boolean", description: "Disable OOM Killer" },
} as const satisfies FlagDefinitions;
