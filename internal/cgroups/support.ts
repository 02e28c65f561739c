/** Which limits this machine can give: which of the kernel's files are there. Asked only where a limit is wanted. */
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, open } from "../sys/fd.ts";
import { exists, getdents64, S_IFDIR } from "../sys/file.ts";
import { readControlIfAny } from "./file.ts";
import { cgroupLayout, type Layout } from "./layout.ts";

/** Docker's names (`docker info`), as far as a flag depends on them. */
export interface LimitSupport {
  readonly memory: boolean;
  readonly swap: boolean;
  readonly memoryReservation: boolean;
  readonly memorySwappiness: boolean;
  readonly oomKillDisable: boolean;
  readonly cpuShares: boolean;
  readonly cpuQuota: boolean;
  readonly cpuRealtime: boolean;
  readonly cpuset: boolean;
  readonly pids: boolean;
  readonly blkioWeight: boolean;
  readonly blkioWeightDevice: boolean;
  readonly blkioThrottle: boolean;
}

/** Looks at the machine. */
export function limitSupport(layout: Layout = cgroupLayout()): LimitSupport {
  return layout.mode === "v2" ? v2Support(layout) : v1Support(layout);
}

function v1Support(layout: Layout): LimitSupport {
  const has = (controller: string, file: string) => {
    const hierarchy = layout.hierarchies.find(({ controllers }) => controllers.includes(controller));
    return hierarchy !== undefined && exists(AT_FDCWD, `${hierarchy.mountPoint}/${file}`);
  };
  return {
    memory: has("memory", "memory.limit_in_bytes"),
    swap: has("memory", "memory.memsw.limit_in_bytes"),
    memoryReservation: has("memory", "memory.soft_limit_in_bytes"),
    memorySwappiness: has("memory", "memory.swappiness"),
    oomKillDisable: has("memory", "memory.oom_control"),
    cpuShares: has("cpu", "cpu.shares"),
    cpuQuota: has("cpu", "cpu.cfs_quota_us"),
    cpuRealtime: has("cpu", "cpu.rt_runtime_us"),
    cpuset: has("cpuset", "cpuset.cpus"),
    // The root has no pids.max of its own: it has the controller.
    pids: has("pids", "cgroup.procs"),
    blkioWeight: has("blkio", "blkio.weight") || has("blkio", "blkio.bfq.weight"),
    blkioWeightDevice: has("blkio", "blkio.weight_device") || has("blkio", "blkio.bfq.weight_device"),
    blkioThrottle: has("blkio", "blkio.throttle.read_bps_device"),
  };
}

function v2Support({ hierarchies }: Layout): LimitSupport {
  const mountPoint = hierarchies.find(({ version }) => version === 2)?.mountPoint ?? "";
  const controllersOf = (directory: string) =>
    new Set((readControlIfAny(directory, "cgroup.controllers") ?? "").trim().split(" "));
  const controllers = controllersOf(mountPoint);
  // The root lacks most files. A cgroup below it that has the controller has its files, or this kernel has not.
  const children = childrenOf(mountPoint);
  const isMissing = (controller: string, file: string) => {
    const child = children.find((directory) => controllersOf(directory).has(controller));
    return child !== undefined && !exists(AT_FDCWD, `${child}/${file}`);
  };
  const has = (controller: string, file: string) => controllers.has(controller) && !isMissing(controller, file);
  const hasWeight = has("io", "io.weight") || has("io", "io.bfq.weight");
  return {
    memory: controllers.has("memory"),
    swap: has("memory", "memory.swap.max"),
    memoryReservation: controllers.has("memory"),
    memorySwappiness: false,
    oomKillDisable: false,
    cpuShares: controllers.has("cpu"),
    cpuQuota: has("cpu", "cpu.max"),
    // kernel Documentation/admin-guide/cgroup-v2.rst: "does not yet support control of realtime processes"
    cpuRealtime: false,
    cpuset: controllers.has("cpuset"),
    pids: controllers.has("pids"),
    blkioWeight: hasWeight,
    blkioWeightDevice: hasWeight,
    blkioThrottle: has("io", "io.max"),
  };
}

function childrenOf(directory: string): readonly string[] {
  using fd = open(directory, O_RDONLY | O_DIRECTORY);
  return getdents64(fd.number)
    .filter(({ kind }) => kind === S_IFDIR)
    .map(({ name }) => `${directory}/${new TextDecoder().decode(name)}`);
}

/** What Docker's `info` says of each limit that this machine cannot give. */
export function missingLimits(support: LimitSupport, mode: Layout["mode"]): string[] {
  const isV1 = mode !== "v2";
  const lines: readonly (readonly [isThere: boolean, what: string])[] = [
    [support.memory, "memory limit"],
    [support.swap, "swap limit"],
    // v2 has none by design, and Docker does not complain of it.
    [support.oomKillDisable || !isV1, "oom kill disable"],
    [support.cpuQuota, "cpu cfs quota"],
    [support.cpuQuota, "cpu cfs period"],
    [support.cpuShares, "cpu shares"],
    [support.cpuset, "cpuset"],
    [support.pids, "pids limit"],
    [support.blkioWeight, isV1 ? "blkio weight" : "io.weight"],
    [support.blkioWeightDevice, isV1 ? "blkio weight_device" : "io.weight (per device)"],
    [support.blkioThrottle, isV1 ? "blkio throttle.read_bps_device" : "io.max (rbps)"],
    [support.blkioThrottle, isV1 ? "blkio throttle.write_bps_device" : "io.max (wbps)"],
    [support.blkioThrottle, isV1 ? "blkio throttle.read_iops_device" : "io.max (riops)"],
    [support.blkioThrottle, isV1 ? "blkio throttle.write_iops_device" : "io.max (wiops)"],
  ];
  return lines.filter(([isThere]) => !isThere).map(([, what]) => `No ${what} support`);
}
