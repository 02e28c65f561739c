/**
 * What the engine refuses of the limits, and what this machine cannot give of them: Docker's rules and words (moby
 * daemon/daemon_unix.go). A limit that cannot be given is left out, and that is said.
 */
import { checkSet, parseCpuList } from "../cgroups/cpu-list.ts";
import { type LimitSupport, limitSupport } from "../cgroups/support.ts";
import { CtrError } from "../errors/error.ts";
import { readText } from "../sys/file.ts";
import { prlimit, RLIM_INFINITY, RLIMITS } from "../sys/process.ts";
import type { ResourceConfig, Ulimit } from "./record.ts";

/** The limits as they will be, and what of those asked for is missing. */
export interface CheckedResources<Config extends ResourceConfig> {
  readonly config: Config;
  readonly warnings: readonly string[];
}

/** Checks the limits. Throws `invalid` in Docker's words. `isUpdate`: of a container that has limits already. */
export function checkResources<Config extends ResourceConfig>(
  asked: Config,
  options: { readonly isUpdate?: boolean; readonly support?: LimitSupport } = {},
): CheckedResources<Config> {
  if (!asksForLimits(asked)) return { config: asked, warnings: [] };
  const support = options.support ?? limitSupport();
  const change: Change = { config: asked, warnings: [] };
  checkMemory(change, support, options.isUpdate === true);
  checkCpu(change, support);
  checkCpuset(change, support);
  checkBlockIo(change, support);
  if (change.config.PidsLimit !== null && !support.pids) {
    const isLimit = change.config.PidsLimit > 0;
    discard(change, { PidsLimit: null }, isLimit ? notMounted("PIDs limit capabilities", "PIDs limit discarded.") : "");
  }
  // Only fields of ResourceConfig were changed.
  return { config: { ...asked, ...change.config }, warnings: change.warnings };
}

interface Change {
  config: ResourceConfig;
  readonly warnings: string[];
}

function asksForLimits(config: ResourceConfig): boolean {
  return Object.entries(config).some(([name, value]) => LIMITS.has(name) && isAsked(value));
}

const LIMITS = new Set<string>([
  "CpuShares",
  "Memory",
  "NanoCpus",
  "CpuPeriod",
  "CpuQuota",
  "CpusetCpus",
  "CpusetMems",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "MemoryReservation",
  "MemorySwap",
  "MemorySwappiness",
  "OomKillDisable",
  "PidsLimit",
  "BlkioWeight",
  "BlkioWeightDevice",
  "BlkioDeviceReadBps",
  "BlkioDeviceWriteBps",
  "BlkioDeviceReadIOps",
  "BlkioDeviceWriteIOps",
] satisfies (keyof ResourceConfig)[]);

function isAsked(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return value !== 0 && value !== "" && value !== null && value !== undefined;
}

function refuse(why: string): never {
  throw new CtrError("invalid", why);
}

function discard(change: Change, without: Partial<ResourceConfig>, warning: string): void {
  change.config = { ...change.config, ...without };
  if (warning !== "") change.warnings.push(warning);
}

function notMounted(what: string, consequence: string): string {
  return `Your kernel does not support ${what} or the cgroup is not mounted. ${consequence}`;
}

const MIN_MEMORY = 6 << 20;
const MAX_SWAPPINESS = 100;

function checkMemory(change: Change, support: LimitSupport, isUpdate: boolean): void {
  if (change.config.Memory > 0 && change.config.Memory < MIN_MEMORY) refuse("Minimum memory limit allowed is 6MB");
  if (change.config.Memory > 0 && !support.memory) {
    discard(change, { Memory: 0, MemorySwap: -1 }, notMounted("memory limit capabilities", "Limitation discarded."));
  }
  if (change.config.Memory > 0 && change.config.MemorySwap !== -1 && !support.swap) {
    const warning = notMounted("swap limit capabilities", "Memory limited without swap.");
    discard(change, { MemorySwap: -1 }, warning);
  }
  const { Memory, MemorySwap, MemorySwappiness: swappiness = null, MemoryReservation } = change.config;
  if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory) {
    refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (Memory === 0 && MemorySwap > 0 && !isUpdate) {
    refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  if (swappiness !== null) {
    if (!support.memorySwappiness) {
      const warning = notMounted("memory swappiness capabilities", "Memory swappiness discarded.");
      discard(change, { MemorySwappiness: null }, warning);
    } else if (swappiness < 0 || swappiness > MAX_SWAPPINESS) {
      refuse(`invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
    }
  }
  if (MemoryReservation > 0 && !support.memoryReservation) {
    const warning = notMounted("memory soft limit capabilities", "Limitation discarded.");
    discard(change, { MemoryReservation: 0 }, warning);
  } else if (MemoryReservation > 0) {
    if (MemoryReservation < MIN_MEMORY) refuse("Minimum memory reservation allowed is 6MB");
    if (Memory > 0 && Memory < MemoryReservation) {
      refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
  }
  if (change.config.OomKillDisable === true) {
    if (!support.oomKillDisable) {
      const warning = "Your kernel does not support OomKillDisable. OomKillDisable discarded.";
      discard(change, { OomKillDisable: null }, warning);
    } else if (Memory === 0) {
      change.warnings.push(
        "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
      );
    }
  }
}

const MIN_NANO_CPUS = 10_000_000;
const [MIN_PERIOD_US, MAX_PERIOD_US] = [1000, 1_000_000];

function checkCpu(change: Change, support: LimitSupport): void {
  const { NanoCpus, CpuPeriod, CpuQuota, CpuShares } = change.config;
  if (NanoCpus > 0 && CpuPeriod > 0) refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  if (NanoCpus > 0 && CpuQuota > 0) refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  if (NanoCpus > 0 && !support.cpuQuota) {
    refuse("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
  }
  const cpus = NanoCpus === 0 ? 0 : parseCpuList(onlineCpus()).size;
  if (NanoCpus !== 0 && (NanoCpus < MIN_NANO_CPUS || NanoCpus > cpus * 1e9)) {
    refuse(`range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
  }
  if (CpuShares < 0) refuse(`invalid CPU shares (${CpuShares}): value must be a positive integer`);
  if (CpuShares > 0 && !support.cpuShares) {
    discard(
      change,
      { CpuShares: 0 },
      "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
    );
  }
  if ((CpuPeriod !== 0 || CpuQuota !== 0) && !support.cpuQuota) {
    const warning = "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.";
    discard(change, { CpuPeriod: 0, CpuQuota: 0 }, warning);
  } else {
    if (CpuPeriod !== 0 && (CpuPeriod < MIN_PERIOD_US || CpuPeriod > MAX_PERIOD_US)) {
      refuse("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    }
    if (CpuQuota > 0 && CpuQuota < MIN_PERIOD_US) refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  }
  const { CpuRealtimePeriod = 0, CpuRealtimeRuntime = 0 } = change.config;
  if (CpuRealtimePeriod !== 0 && !support.cpuRealtime) {
    refuse("Your kernel does not support CPU real-time scheduler");
  }
  if (CpuRealtimeRuntime !== 0 && !support.cpuRealtime) {
    refuse("Your kernel does not support CPU real-time scheduler");
  }
  if (CpuRealtimePeriod !== 0 && CpuRealtimeRuntime > CpuRealtimePeriod) {
    refuse("cpu real-time runtime cannot be higher than cpu real-time period");
  }
}

function checkCpuset(change: Change, support: LimitSupport): void {
  const { CpusetCpus, CpusetMems } = change.config;
  if (CpusetCpus === "" && CpusetMems === "") return;
  if (!support.cpuset) {
    discard(change, { CpusetCpus: "", CpusetMems: "" }, notMounted("cpuset", "CPUset discarded."));
    return;
  }
  if (CpusetCpus !== "") checkSet("CPUs", CpusetCpus, onlineCpus());
  if (CpusetMems !== "") checkSet("memory nodes", CpusetMems, onlineNodes());
}

function onlineCpus(): string {
  return readText("/sys/devices/system/cpu/online").trim();
}

function onlineNodes(): string {
  try {
    return readText("/sys/devices/system/node/online").trim();
  } catch (error) {
    // A kernel without NUMA has one node and no list of them.
    if (error instanceof CtrError && error.kind === "not-found") return "0";
    throw error;
  }
}

const [MIN_WEIGHT, MAX_WEIGHT] = [10, 1000];

function checkBlockIo(change: Change, support: LimitSupport): void {
  const { BlkioWeight = 0, BlkioWeightDevice = [] } = change.config;
  if (BlkioWeight > 0 && !support.blkioWeight) {
    discard(change, { BlkioWeight: 0 }, notMounted("Block I/O weight", "Weight discarded."));
  } else if (BlkioWeight !== 0 && (BlkioWeight < MIN_WEIGHT || BlkioWeight > MAX_WEIGHT)) {
    refuse("Range of blkio weight is from 10 to 1000");
  }
  if (BlkioWeightDevice.length > 0 && !support.blkioWeightDevice) {
    discard(change, { BlkioWeightDevice: [] }, notMounted("Block I/O weight_device", "Weight-device discarded."));
  }
  for (const [name, what, consequence] of THROTTLES) {
    if ((change.config[name] ?? []).length > 0 && !support.blkioThrottle) {
      discard(change, { [name]: [] }, notMounted(what, `Block I/O ${consequence} discarded.`));
    }
  }
}

/** Docker's words for them. */
const THROTTLES = [
  ["BlkioDeviceReadBps", "BPS Block I/O read limit", "BPS read limit"],
  ["BlkioDeviceWriteBps", "BPS Block I/O write limit", "BPS write limit"],
  ["BlkioDeviceReadIOps", "IOPS Block read limit", "IOPS read limit"],
  ["BlkioDeviceWriteIOps", "IOPS Block write limit", "IOPS write limit"],
] as const;

/** capabilities(7) */
const CAP_SYS_RESOURCE = 24n;

/**
 * What of the ulimits may be set: without CAP_SYS_RESOURCE (in a container, with a service manager's limits) no hard limit
 * above our own, so those are lowered to it, and that is said.
 */
export function checkUlimits(ulimits: readonly Ulimit[]): {
  readonly ulimits: readonly Ulimit[];
  readonly warnings: readonly string[];
} {
  if (ulimits.length === 0 || mayRaise()) return { ulimits, warnings: [] };
  const warnings: string[] = [];
  const lowered = ulimits.map((ulimit): Ulimit => {
    const { hard } = prlimit(0, RLIMITS.indexOf(ulimit.Name.toUpperCase()));
    if (hard === RLIM_INFINITY || (ulimit.Hard !== -1 && BigInt(ulimit.Hard) <= hard)) return ulimit;
    const most = Number(hard);
    const asked = ulimit.Hard === -1 ? "unlimited" : ulimit.Hard;
    warnings.push(
      `Ulimit ${ulimit.Name}=${asked} cannot be given: without CAP_SYS_RESOURCE the engine may not go above its own ${most}. ` +
        `Limited to ${most}.`,
    );
    const soft = ulimit.Soft === -1 ? most : Math.min(ulimit.Soft, most);
    return { Name: ulimit.Name, Soft: soft, Hard: most };
  });
  return { ulimits: lowered, warnings };
}

function mayRaise(): boolean {
  const [, mask = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status")) ?? [];
  return ((BigInt(`0x${mask}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}
