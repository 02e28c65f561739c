import { expect, test } from "bun:test";
import { parseFlags } from "../../cmd/ctr/flags.ts";
import { RESOURCE_FLAGS } from "../../cmd/ctr/resource-flags.ts";
import { type LimitSupport, missingLimits } from "../cgroups/support.ts";
import type { ResourceConfig } from "./record.ts";
import { type ResourceFlags, readResources } from "./resource-flags.ts";
import { checkResources } from "./resource-limits.ts";
import { limitsOf } from "./resources.ts";

const NO_FLAGS: ResourceFlags = parseFlags(RESOURCE_FLAGS, [], true).values;
const read = (flags: Partial<ResourceFlags>): ResourceConfig => readResources({ ...NO_FLAGS, ...flags });

const ALL: LimitSupport = {
  memory: true,
  swap: true,
  memoryReservation: true,
  memorySwappiness: true,
  oomKillDisable: true,
  cpuShares: true,
  cpuQuota: true,
  cpuRealtime: true,
  cpuset: true,
  pids: true,
  blkioWeight: true,
  blkioWeightDevice: true,
  blkioThrottle: true,
};
const NOTHING = Object.fromEntries(Object.keys(ALL).map((name) => [name, false])) as unknown as LimitSupport;

test("limits: nothing asked is nothing given, and nothing is looked at", () => {
  const none = read({});
  expect(checkResources(none)).toEqual({ config: none, warnings: [] });
  expect(limitsOf(none)).toEqual({});
});

test("limits: as the runtime-spec has them", () => {
  const config = read({
    memory: "64m",
    "memory-swappiness": "10",
    "oom-kill-disable": true,
    "cpu-period": "50000",
    "cpu-quota": "25000",
    "cpu-shares": "512",
    "cpu-rt-period": "100000",
    "cpu-rt-runtime": "5000",
    "blkio-weight": "300",
    "pids-limit": "20",
  });
  expect(limitsOf(config)).toEqual({
    memory: { limit: 64 << 20, swap: 128 << 20, swappiness: 10, disableOOMKiller: true },
    cpu: { shares: 512, period: 50000, quota: 25000, realtimePeriod: 100000, realtimeRuntime: 5000 },
    blockIO: { weight: 300 },
    pids: { limit: 20 },
  });
  expect(limitsOf(read({ cpus: "1.5" }))).toEqual({ cpu: { period: 100000, quota: 150000 } });
});

test.each([
  [{ "blkio-weight": "5" }, "Range of blkio weight is from 10 to 1000"],
  [{ "blkio-weight": "1001" }, "Range of blkio weight is from 10 to 1000"],
  [{ "cpu-period": "999" }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"],
  [{ "cpu-period": "1000001" }, "CPU cfs period can not be less than 1ms"],
  [{ "cpu-quota": "999" }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"],
  [{ cpus: "1", "cpu-period": "10000" }, "Conflicting options: Nano CPUs and CPU Period cannot both be set"],
  [{ cpus: "1", "cpu-quota": "10000" }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"],
  [{ "cpu-rt-period": "10", "cpu-rt-runtime": "20" }, "cpu real-time runtime cannot be higher than"],
  [{ memory: "5m" }, "Minimum memory limit allowed is 6MB"],
  [{ "memory-reservation": "5m" }, "Minimum memory reservation allowed is 6MB"],
  [
    { memory: "64m", "memory-reservation": "65m" },
    "Minimum memory limit can not be less than memory reservation limit, see usage",
  ],
  [{ cpus: "0.001" }, "range of CPUs is from 0.01 to"],
] satisfies [Partial<ResourceFlags>, string][])("limits: %j is refused", (flags, why) => {
  expect(() => checkResources(read(flags), { support: ALL })).toThrow(why);
});

test.each([
  [{ device: ["/dev/null:/dev/x:rwx"] }, "bad mode specified: rwx"],
  [{ device: ["/dev/null:x"] }, "x is not an absolute path"],
  [{ device: ["/dev/a:/b:r:w"] }, "bad format for path: /dev/a:/b:r:w"],
  [{ "device-cgroup-rule": ["c 1 rwm"] }, "invalid device cgroup format 'c 1 rwm'"],
  [{ "device-read-bps": ["/dev/vda"] }, "bad format: /dev/vda"],
  [{ "device-read-bps": ["vda:1mb"] }, "bad format for device path: vda:1mb"],
  [
    { "device-write-bps": ["/dev/vda:x"] },
    "invalid rate for device: /dev/vda:x. The correct format is <device-path>:<number>[<unit>]. " +
      "Number must be a positive integer. Unit is optional and can be kb, mb, or gb",
  ],
  [
    { "device-read-iops": ["/dev/vda:1k"] },
    "invalid rate for device: /dev/vda:1k. The correct format is <device-path>:<number>. Number must be a positive integer",
  ],
  [{ "blkio-weight-device": ["/dev/vda:5"] }, "invalid weight for device: /dev/vda:5"],
  [{ "blkio-weight": "70000" }, "value out of range"],
  [{ "memory-swappiness": "101" }, "invalid value: 101. Valid memory swappiness range is 0-100"],
] satisfies [Partial<ResourceFlags>, string][])("limits: the text of %j means nothing", (flags, why) => {
  expect(() => read(flags)).toThrow(why);
});

test("devices: with access only, with another name, with both", () => {
  expect(read({ device: ["/dev/fuse", "/dev/fuse:r", "/dev/a:/dev/b", "/dev/a:/dev/b:rw"] }).Devices).toEqual([
    { PathOnHost: "/dev/fuse", PathInContainer: "/dev/fuse", CgroupPermissions: "rwm" },
    { PathOnHost: "/dev/fuse", PathInContainer: "/dev/fuse", CgroupPermissions: "r" },
    { PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "rwm" },
    { PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "rw" },
  ]);
  expect(read({ "device-read-bps": ["/dev/vda:1mb"], "device-write-iops": ["/dev/vda:10"] })).toMatchObject({
    BlkioDeviceReadBps: [{ Path: "/dev/vda", Rate: 1 << 20 }],
    BlkioDeviceWriteIOps: [{ Path: "/dev/vda", Rate: 10 }],
  });
});

test("limits: what the machine cannot give is left out, in Docker's words", () => {
  const asked = read({
    memory: "64m",
    "memory-reservation": "32m",
    "memory-swappiness": "10",
    "oom-kill-disable": true,
    "cpu-shares": "512",
    "cpu-period": "50000",
    "cpuset-cpus": "0",
    "blkio-weight": "300",
    "blkio-weight-device": ["/dev/vda:100"],
    "device-read-bps": ["/dev/vda:1mb"],
    "device-write-iops": ["/dev/vda:10"],
    "pids-limit": "20",
  });
  const { config, warnings } = checkResources(asked, { support: NOTHING });
  expect(limitsOf(config)).toEqual({ memory: { swap: -1 } });
  expect(warnings).toEqual([
    "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
    "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
    "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
    "Your kernel does not support cpuset or the cgroup is not mounted. CPUset discarded.",
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
    "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
    "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
    "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.",
    "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
  ]);
  const swapless = checkResources(read({ memory: "64m" }), { support: { ...ALL, swap: false } });
  expect(swapless.config.MemorySwap).toBe(-1);
  expect(swapless.warnings).toEqual([
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
  ]);
  expect(checkResources(read({ "oom-kill-disable": true }), { support: ALL }).warnings).toEqual([
    "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
  ]);
});

test("limits: what `info` says of a machine that lacks some", () => {
  expect(missingLimits(ALL, "v1")).toEqual([]);
  expect(missingLimits({ ...ALL, oomKillDisable: false }, "v2")).toEqual([]);
  expect(missingLimits({ ...ALL, swap: false, oomKillDisable: false, blkioWeight: false }, "hybrid")).toEqual([
    "No swap limit support",
    "No oom kill disable support",
    "No blkio weight support",
  ]);
  expect(missingLimits({ ...ALL, blkioThrottle: false }, "v2")[0]).toBe("No io.max (rbps) support");
});
