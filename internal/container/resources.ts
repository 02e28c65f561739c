/** From HostConfig to the runtime-spec's resources, as Docker's engine makes them. */
import { cgroupLayout } from "../cgroups/layout.ts";
import { ALL_DEVICE_RULES, DEFAULT_DEVICE_RULES } from "../security/paths.ts";
import type { BlockIoResources, CpuResources, DeviceRule, MemoryResources, Resources } from "../spec/runtime.ts";
import { blockDevice, mappedDevices, parseDeviceRule } from "./devices.ts";
import type { HostConfig, ResourceConfig, ThrottledDevice } from "./record.ts";

const CPU_PERIOD_US = 100_000;

/** Only what was asked for: an absent limit leaves the kernel's default. */
export function resourcesOf(hostConfig: HostConfig): Resources {
  return { devices: deviceRules(hostConfig), ...limitsOf(hostConfig) };
}

function deviceRules({ Privileged, Devices = [], DeviceCgroupRules }: HostConfig): readonly DeviceRule[] {
  if (Privileged) return ALL_DEVICE_RULES;
  if (Devices.length === 0 && (DeviceCgroupRules ?? []).length === 0) return DEFAULT_DEVICE_RULES;
  return [...DEFAULT_DEVICE_RULES, ...mappedDevices(Devices).rules, ...(DeviceCgroupRules ?? []).map(parseDeviceRule)];
}

/** The limits without the devices: what `update` applies. Throws for a block device that is not there. */
export function limitsOf(config: ResourceConfig): Resources {
  const { PidsLimit } = config;
  const [memory, cpu, blockIO] = [memoryOf(config), cpuOf(config), blockIoOf(config)];
  return {
    ...(isEmpty(memory) ? {} : { memory }),
    ...(isEmpty(cpu) ? {} : { cpu }),
    ...(isEmpty(blockIO) ? {} : { blockIO }),
    ...(PidsLimit === null || PidsLimit <= 0 ? {} : { pids: { limit: PidsLimit } }),
  };
}

function isEmpty(object: object): boolean {
  return Object.keys(object).length === 0;
}

function memoryOf(config: ResourceConfig): MemoryResources {
  const { Memory, MemorySwap, MemoryReservation, MemorySwappiness = null, OomKillDisable } = config;
  return {
    ...(Memory !== 0 ? { limit: Memory } : {}),
    ...(MemorySwap !== 0 ? { swap: MemorySwap } : {}),
    ...(MemoryReservation !== 0 ? { reservation: MemoryReservation } : {}),
    ...(MemorySwappiness === null ? {} : { swappiness: MemorySwappiness }),
    ...(OomKillDisable === true ? { disableOOMKiller: true } : {}),
  };
}

function cpuOf(config: ResourceConfig): CpuResources {
  const { NanoCpus, CpuShares, CpuPeriod, CpuQuota, CpusetCpus, CpusetMems } = config;
  const { CpuRealtimePeriod = 0, CpuRealtimeRuntime = 0 } = config;
  const bandwidth =
    NanoCpus > 0
      ? { period: CPU_PERIOD_US, quota: Math.floor((NanoCpus * CPU_PERIOD_US) / 1e9) }
      : { ...(CpuPeriod === 0 ? {} : { period: CpuPeriod }), ...(CpuQuota === 0 ? {} : { quota: CpuQuota }) };
  return {
    ...(CpuShares > 0 ? { shares: CpuShares } : {}),
    ...bandwidth,
    ...(CpuRealtimePeriod === 0 ? {} : { realtimePeriod: CpuRealtimePeriod }),
    ...(CpuRealtimeRuntime === 0 ? {} : { realtimeRuntime: CpuRealtimeRuntime }),
    ...(CpusetCpus === "" ? {} : { cpus: CpusetCpus }),
    ...(CpusetMems === "" ? {} : { mems: CpusetMems }),
  };
}

function blockIoOf(config: ResourceConfig): BlockIoResources {
  const { BlkioWeight = 0, BlkioWeightDevice = [] } = config;
  const throttles = {
    throttleReadBpsDevice: throttle(config.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttle(config.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttle(config.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttle(config.BlkioDeviceWriteIOps),
  };
  return {
    ...(BlkioWeight === 0 ? {} : { weight: BlkioWeight }),
    ...(BlkioWeightDevice.length === 0
      ? {}
      : { weightDevice: BlkioWeightDevice.map(({ Path, Weight }) => ({ ...blockDevice(Path), weight: Weight })) }),
    ...Object.fromEntries(Object.entries(throttles).filter(([, devices]) => devices.length > 0)),
  };
}

function throttle(devices: readonly ThrottledDevice[] = []): BlockIoResources["throttleReadBpsDevice"] & object {
  return devices.map(({ Path, Rate }) => ({ ...blockDevice(Path), rate: Rate }));
}

/** Docker's default: private on v2, the host's on v1. */
export function hasOwnCgroupNamespace({ CgroupnsMode }: HostConfig): boolean {
  return CgroupnsMode === undefined ? cgroupLayout().mode === "v2" : CgroupnsMode === "private";
}
