/** The table of controllers, in the order in which their limits are applied. */
import { CtrError } from "../errors/error.ts";
import type { Controller } from "./controller.ts";
import { blkio } from "./v1/blkio.ts";
import { cpu } from "./v1/cpu.ts";
import { cpuacct } from "./v1/cpuacct.ts";
import { cpuset } from "./v1/cpuset.ts";
import { devices } from "./v1/devices.ts";
import { freezer } from "./v1/freezer.ts";
import { hugetlb } from "./v1/hugetlb.ts";
import { memory } from "./v1/memory.ts";
import { netClasses, netPriorities } from "./v1/network.ts";
import { pids } from "./v1/pids.ts";
import { rdma } from "./v1/rdma.ts";
import { cpu as cpuV2 } from "./v2/cpu.ts";
import { cpuset as cpusetV2 } from "./v2/cpuset.ts";
import { devices as devicesV2 } from "./v2/devices.ts";
import { hugetlb as hugetlbV2 } from "./v2/hugetlb.ts";
import { io } from "./v2/io.ts";
import { memory as memoryV2 } from "./v2/memory.ts";
import { network } from "./v2/network.ts";
import { pids as pidsV2 } from "./v2/pids.ts";
import { rdma as rdmaV2 } from "./v2/rdma.ts";

export const V1_CONTROLLERS: readonly Controller[] = [
  memory,
  cpu,
  cpuacct,
  pids,
  devices,
  freezer,
  cpuset,
  blkio,
  hugetlb,
  netClasses,
  netPriorities,
  rdma,
];

/** Those that are enabled in `cgroup.subtree_control`. */
export const V2_CONTROLLERS: readonly Controller[] = [memoryV2, cpuV2, pidsV2, cpusetV2, io, hugetlbV2, rdmaV2];
/** Not enabled there: devices are a program attached to the cgroup, and what v1 has for the network v2 has not. */
export const V2_OTHERS: readonly Controller[] = [devicesV2, network];

/** The error of a machine that lacks a controller. */
export function missingController(name: string): CtrError {
  const why = `this machine has no ${name} cgroup controller (not mounted, or switched off on the kernel's command line)`;
  return new CtrError("unsupported", why);
}
