/**
 * What a default container sees of the kernel: masked and read-only paths, devices, mounts. The lists are Docker 28's
 * with the masks that came after it.
 */
import type { Device, DeviceRule, Mount } from "../spec/runtime.ts";

/** A directory is covered with an empty read-only tmpfs, a file with /dev/null; what the kernel lacks is skipped. */
export const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

/** Counters by which what runs elsewhere can be told (CVE-2020-8694 is of that kind): one for each CPU, Intel only. */
export function thermalThrottlePaths(cpus: number): readonly string[] {
  return Array.from({ length: cpus }, (_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`);
}

export const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

const CHARACTER_MODE = 0o666;

/** runtime-spec config-linux.md#default-devices; console, ptmx and the links are made by what makes /dev. */
export const DEFAULT_DEVICES: readonly Device[] = (
  [
    ["/dev/null", 1, 3],
    ["/dev/zero", 1, 5],
    ["/dev/full", 1, 7],
    ["/dev/random", 1, 8],
    ["/dev/urandom", 1, 9],
    ["/dev/tty", 5, 0],
  ] as const
).map(([path, major, minor]) => ({ path, type: "c", major, minor, fileMode: CHARACTER_MODE, uid: 0, gid: 0 }));

/** Links of /dev: runtime-spec runtime-linux.md#dev-symbolic-links, and ptmx of the container's own devpts. */
export const DEVICE_LINKS: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
  ["/dev/core", "/proc/kcore"],
  ["/dev/ptmx", "pts/ptmx"],
];

/** Everything is denied but making nodes (not using them) and the devices a container has. */
export const DEFAULT_DEVICE_RULES: readonly DeviceRule[] = [
  { allow: false, access: "rwm" },
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  ...[
    [1, 3], // null
    [1, 5], // zero
    [1, 7], // full
    [1, 8], // random
    [1, 9], // urandom
    [5, 0], // tty
    [5, 1], // console
    [5, 2], // ptmx
  ].map(([major = 0, minor = 0]): DeviceRule => ({ allow: true, type: "c", major, minor, access: "rwm" })),
  { allow: true, type: "c", major: 136, access: "rwm" }, // devpts
];

/** What `--privileged` may use. */
export const ALL_DEVICE_RULES: readonly DeviceRule[] = [{ allow: true, access: "rwm" }];

/** Bytes of /dev/shm unless `--shm-size` says otherwise. */
export const DEFAULT_SHM_SIZE = 64 << 20;

/** What the default mounts depend on. */
export interface MountChoices {
  readonly shmSize: number;
  /** sysfs and cgroups writable, as `--privileged` has them. */
  readonly isPrivileged: boolean;
  /** Where another container's or the host's /dev/shm and mqueue take their place: those two are left out. */
  readonly isIpcShared: boolean;
  /** In the host's network namespace sysfs cannot be mounted anew: the host's is bound. */
  readonly isNetworkShared: boolean;
}

/** The mounts of a default container, in the order in which they are made. */
export function defaultMounts(choices: MountChoices): readonly Mount[] {
  const access = choices.isPrivileged ? "rw" : "ro";
  const sysOptions = ["nosuid", "noexec", "nodev", access];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    choices.isNetworkShared
      ? { destination: "/sys", type: "bind", source: "/sys", options: ["rbind", ...sysOptions] }
      : { destination: "/sys", type: "sysfs", source: "sysfs", options: sysOptions },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [access, "nosuid", "noexec", "nodev"] },
    ...(choices.isIpcShared ? [] : ipcMounts(choices.shmSize)),
  ];
}

function ipcMounts(shmSize: number): readonly Mount[] {
  return [
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${shmSize}`],
    },
  ];
}

/** Only what belongs to a network namespace of its own; applied there only. */
export const DEFAULT_SYSCTLS: { readonly [name: string]: string } = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
};
