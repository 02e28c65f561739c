/** The flags about resources as Docker's HostConfig has them; `run`, `create` and `update` share them. */
import { parseDevice, parseDeviceRule } from "./devices.ts";
import { OptionError } from "./option-error.ts";
import type { ResourceConfig, ThrottledDevice, WeightedDevice } from "./record.ts";
import { ifGiven, parseCpus, parseInteger, parseSize, parseSizeOrUnlimited, parseUint16 } from "./units.ts";

/** The flags that `update` has too. */
export interface UpdatableFlags {
  readonly "blkio-weight": string | undefined;
  readonly "cpu-period": string | undefined;
  readonly "cpu-quota": string | undefined;
  readonly "cpu-rt-period": string | undefined;
  readonly "cpu-rt-runtime": string | undefined;
  readonly "cpu-shares": string | undefined;
  readonly cpus: string | undefined;
  readonly "cpuset-cpus": string | undefined;
  readonly "cpuset-mems": string | undefined;
  readonly memory: string | undefined;
  readonly "memory-reservation": string | undefined;
  readonly "memory-swap": string | undefined;
  readonly "pids-limit": string | undefined;
}

/** Those of a new container. */
export interface ResourceFlags extends UpdatableFlags {
  readonly "blkio-weight-device": readonly string[];
  readonly device: readonly string[];
  readonly "device-cgroup-rule": readonly string[];
  readonly "device-read-bps": readonly string[];
  readonly "device-read-iops": readonly string[];
  readonly "device-write-bps": readonly string[];
  readonly "device-write-iops": readonly string[];
  readonly "memory-swappiness": string | undefined;
  readonly "oom-kill-disable": boolean;
}

/** What the shared flags give; only what was said. */
export type ResourceChange = {
  -readonly [Name in keyof ResourceConfig]?: ResourceConfig[Name];
};

/** Reads the flags that `update` shares. Throws OptionError. */
export function readUpdatable(flags: UpdatableFlags): ResourceChange {
  const integer = (name: keyof UpdatableFlags) => ifGiven(flags[name], (text) => parseInteger(name, text));
  const all: { readonly [Name in keyof ResourceChange]: ResourceChange[Name] | undefined } = {
    BlkioWeight: ifGiven(flags["blkio-weight"], (text) => parseUint16("blkio-weight", text)),
    CpuPeriod: integer("cpu-period"),
    CpuQuota: integer("cpu-quota"),
    CpuRealtimePeriod: integer("cpu-rt-period"),
    CpuRealtimeRuntime: integer("cpu-rt-runtime"),
    CpuShares: integer("cpu-shares"),
    CpusetCpus: flags["cpuset-cpus"],
    CpusetMems: flags["cpuset-mems"],
    Memory: ifGiven(flags.memory, (text) => parseSize("memory", text)),
    MemoryReservation: ifGiven(flags["memory-reservation"], (text) => parseSize("memory-reservation", text)),
    MemorySwap: ifGiven(flags["memory-swap"], (text) => parseSizeOrUnlimited("memory-swap", text)),
    NanoCpus: ifGiven(flags.cpus, (text) => parseCpus("cpus", text)),
    PidsLimit: integer("pids-limit"),
  };
  const given: ResourceChange = {};
  for (const [name, value] of Object.entries(all)) if (value !== undefined) Object.assign(given, { [name]: value });
  return given;
}

/** Reads all of them for a new container. Throws OptionError. */
export function readResources(flags: ResourceFlags): ResourceConfig {
  const given = readUpdatable(flags);
  const memory = given.Memory ?? 0;
  return {
    CpuShares: 0,
    NanoCpus: 0,
    CpuPeriod: 0,
    CpuQuota: 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: "",
    CpusetMems: "",
    MemoryReservation: 0,
    BlkioWeight: 0,
    ...given,
    // 0 and less are no limit (moby api/server/router/container).
    PidsLimit: (given.PidsLimit ?? 0) > 0 ? (given.PidsLimit ?? null) : null,
    Memory: memory,
    // Docker's default: as much swap as memory.
    MemorySwap: memory > 0 && (given.MemorySwap ?? 0) === 0 ? 2 * memory : (given.MemorySwap ?? 0),
    MemorySwappiness: swappiness(flags["memory-swappiness"]),
    OomKillDisable: flags["oom-kill-disable"] ? true : null,
    BlkioWeightDevice: flags["blkio-weight-device"].map(parseWeightDevice),
    BlkioDeviceReadBps: flags["device-read-bps"].map((text) => parseThrottle("device-read-bps", text, rateOf)),
    BlkioDeviceWriteBps: flags["device-write-bps"].map((text) => parseThrottle("device-write-bps", text, rateOf)),
    BlkioDeviceReadIOps: flags["device-read-iops"].map((text) => parseThrottle("device-read-iops", text, countOf)),
    BlkioDeviceWriteIOps: flags["device-write-iops"].map((text) => parseThrottle("device-write-iops", text, countOf)),
    Devices: flags.device.map(parseDevice),
    DeviceCgroupRules: flags["device-cgroup-rule"].length === 0 ? null : flags["device-cgroup-rule"].map(checkRule),
  };
}

const MAX_SWAPPINESS = 100;

/** -1, the default, leaves the machine's. */
function swappiness(text: string | undefined): number | null {
  const value = ifGiven(text, (given) => parseInteger("memory-swappiness", given)) ?? -1;
  if (value === -1) return null;
  if (value < 0 || value > MAX_SWAPPINESS) {
    throw new OptionError(`invalid value: ${value}. Valid memory swappiness range is 0-100`);
  }
  return value;
}

/** `path:value` of a device; docker/cli opts/throttledevice.go and weightdevice.go. */
function splitDevice(flag: string, text: string): readonly [path: string, value: string] {
  const colon = text.indexOf(":");
  if (colon <= 0 || colon === text.length - 1) throw new OptionError(`bad format: ${text}`, flag, text);
  const path = text.slice(0, colon);
  if (!path.startsWith("/dev/")) throw new OptionError(`bad format for device path: ${text}`, flag, text);
  return [path, text.slice(colon + 1)];
}

const [MIN_WEIGHT, MAX_WEIGHT] = [10, 1000];

function parseWeightDevice(text: string): WeightedDevice {
  const [path, value] = splitDevice("blkio-weight-device", text);
  const weight = Number(value);
  const isWeight = /^\d+$/.test(value) && (weight === 0 || (weight >= MIN_WEIGHT && weight <= MAX_WEIGHT));
  if (!isWeight) throw new OptionError(`invalid weight for device: ${text}`, "blkio-weight-device", text);
  return { Path: path, Weight: weight };
}

function parseThrottle(flag: string, text: string, rate: (value: string) => number | undefined): ThrottledDevice {
  const [path, value] = splitDevice(flag, text);
  const parsed = rate(value);
  if (parsed !== undefined) return { Path: path, Rate: parsed };
  const [unit, hint] = rate === rateOf ? ["[<unit>]", ". Unit is optional and can be kb, mb, or gb"] : ["", ""];
  throw new OptionError(
    `invalid rate for device: ${text}. The correct format is <device-path>:<number>${unit}. ` +
      `Number must be a positive integer${hint}`,
    flag,
    text,
  );
}

/** Bytes per second; undefined if it is none. */
function rateOf(value: string): number | undefined {
  try {
    return parseSize("", value);
  } catch (error) {
    if (error instanceof OptionError) return undefined;
    throw error;
  }
}

/** Operations per second; undefined if it is none. */
function countOf(value: string): number | undefined {
  const count = Number(value);
  return /^\d+$/.test(value) && Number.isSafeInteger(count) ? count : undefined;
}

function checkRule(text: string): string {
  parseDeviceRule(text);
  return text;
}
