/** Random legal configurations, each from its seed: what the differential test gives to every runtime. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { randomFractions } from "../lib/random.ts";
import { type Bundle, type Json, MOUNTS, NAMESPACES } from "./harness.ts";

/** Choices that follow from a seed. */
export class Dice {
  /** 0 to 1, without 1. */
  readonly roll: () => number;

  constructor(seed: number) {
    this.roll = randomFractions(seed);
  }

  below(count: number): number {
    return Math.floor(this.roll() * count);
  }

  chance(share: number): boolean {
    return this.roll() < share;
  }

  one<T>(...of: readonly T[]): T {
    const picked = of[this.below(of.length)];
    if (picked === undefined) throw new Error("nothing to pick from");
    return picked;
  }

  /** Each with a chance of a half, in their order. */
  some<T>(...of: readonly T[]): readonly T[] {
    return of.filter(() => this.chance(0.5));
  }
}

// What Debian 12's runc and crun can give on this machine: without CAP_SYS_RESOURCE and CAP_SYS_PTRACE's like nothing is lost.
const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_KILL",
  "CAP_SETUID",
  "CAP_NET_RAW",
  "CAP_SYS_CHROOT",
  "CAP_MKNOD",
  "CAP_AUDIT_WRITE",
];
const FLAGS = ["nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "strictatime", "ro"];
const RECURSIVE_FLAGS = ["rro", "rnosuid", "rnodev", "rnoexec"];

/** What `world` is asked, too. */
export const QUESTIONS = [
  "write:/new",
  "write:/tmp/new",
  "write:/vol1/new",
  "list:/vol1",
  "list:/vol2",
  "stat:/tmp",
  "write:/proc/sys/kernel/domainname",
  "mknod:/tmp/node",
  "sethostname:other",
  "syscall:140,0,0",
];

/** A configuration over the base of the harness, and what it needs in its bundle. */
export function generate(seed: number, bundle: Bundle): Json {
  const dice = new Dice(seed);
  return {
    process: processOf(dice),
    root: { path: "rootfs", readonly: dice.chance(0.3) },
    mounts: mountsOf(dice, bundle),
    ...namesOf(dice),
    ...(dice.chance(0.3) ? { annotations: { "org.example.seed": String(seed) } } : {}),
  };
}

function processOf(dice: Dice): Json {
  const isRoot = dice.chance(0.5);
  const bounding = dice.some(...CAPABILITIES);
  const permitted = bounding.filter(() => dice.chance(0.7));
  const inheritable = dice.chance(0.3) ? permitted.filter(() => dice.chance(0.5)) : [];
  return {
    args: ["/world", ...QUESTIONS],
    user: {
      uid: isRoot ? 0 : dice.one(1, 1000, 65534),
      gid: isRoot ? dice.one(0, 0, 5) : dice.one(1, 1000, 65534),
      ...(dice.chance(0.4) ? { additionalGids: dice.some(5, 10, 100, 1000) } : {}),
      ...(dice.chance(0.3) ? { umask: dice.one(0, 0o22, 0o27, 0o77) } : {}),
    },
    cwd: dice.one("/", "/tmp", "/home/user", "/made/for/this"),
    env: ["PATH=/bin", ...dice.some("A=1", "B=two words", "HOME=/home/user", "EMPTY=")],
    noNewPrivileges: dice.chance(0.5),
    ...(dice.chance(0.85)
      ? {
          capabilities: {
            bounding,
            permitted,
            effective: permitted.filter(() => dice.chance(0.8)),
            inheritable,
            ambient: inheritable.filter(() => dice.chance(0.7)),
          },
        }
      : { capabilities: undefined }),
    ...(dice.chance(0.5) ? { rlimits: rlimitsOf(dice) } : {}),
    ...(dice.chance(0.3) ? { oomScoreAdj: dice.one(0, 1, 500, 1000) } : {}),
  };
}

function rlimitsOf(dice: Dice): readonly Json[] {
  const rows: readonly (readonly [type: string, hard: number])[] = [
    ["RLIMIT_NOFILE", 1024],
    ["RLIMIT_CORE", 0],
    ["RLIMIT_STACK", 4 << 20],
    ["RLIMIT_NPROC", 500],
    ["RLIMIT_FSIZE", 1 << 30],
    ["RLIMIT_MEMLOCK", 65536],
  ];
  return dice
    .some(...rows)
    .map(([type, hard]) => ({ type, hard, soft: dice.chance(0.5) ? hard : Math.floor(hard / 2) }));
}

function mountsOf(dice: Dice, bundle: Bundle): readonly Json[] {
  for (const name of ["src1", "src2/below", "link-target"]) mkdirSync(`${bundle.path}/${name}`, { recursive: true });
  writeFileSync(`${bundle.path}/src1/one`, "1\n");
  writeFileSync(`${bundle.path}/src2/below/two`, "2\n");
  writeFileSync(`${bundle.path}/file`, "file\n");
  mkdirSync(`${bundle.rootfs}/opt`);
  symlinkSync("/opt", `${bundle.rootfs}/linked`);
  mkdirSync(`${bundle.rootfs}/filled`);
  writeFileSync(`${bundle.rootfs}/filled/there`, "there\n");
  const usual = MOUNTS.filter(({ destination }) => !/shm|mqueue/.test(String(destination)) || dice.chance(0.8));
  const flags = () =>
    dice
      .some(...FLAGS)
      .filter(
        (flag, at, all) =>
          !/atime/.test(flag) ||
          all.findIndex((other) => /[^r]atime|^noatime/.test(other)) === at ||
          flag === "nodiratime",
      );
  const bind = (source: string, destination: string) => ({
    destination,
    type: dice.one("bind", "none"),
    source: dice.chance(0.5) ? source : source.slice(bundle.path.length + 1),
    options: [
      dice.one("bind", "rbind"),
      ...flags(),
      ...(dice.chance(0.2) ? [dice.one(...RECURSIVE_FLAGS)] : []),
      ...(dice.chance(0.3) ? [dice.one("private", "rprivate", "slave", "rslave", "shared", "rshared")] : []),
    ],
  });
  const tmpfs = (destination: string, ...own: readonly string[]) => ({
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: [...flags(), ...own],
  });
  return [
    ...usual,
    ...dice.some(
      bind(`${bundle.path}/src1`, "/vol1"),
      bind(`${bundle.path}/src2`, "/vol2"),
      bind(`${bundle.path}/file`, "/etc/file"),
      bind(`${bundle.path}/src1`, "/linked/vol"),
      tmpfs("/tmp", "mode=1777"),
      tmpfs("/scratch", "size=1m", "mode=750"),
      tmpfs("/filled", "tmpcopyup"),
      tmpfs("/home"),
      {
        destination: "/sys/fs/cgroup",
        type: "cgroup",
        source: "cgroup",
        options: ["nosuid", "noexec", "nodev", "relatime", dice.one("ro", "rw")],
      },
    ),
  ];
}

function namesOf(dice: Dice): Json {
  const namespaces = NAMESPACES.filter(({ type }) => type === "mount" || type === "pid" || dice.chance(0.8));
  const types = namespaces.map(({ type }) => String(type));
  const has = (type: string) => types.includes(type);
  const sysctl = {
    ...(has("network") && dice.chance(0.3) ? { "net.ipv4.ip_forward": dice.one("0", "1") } : {}),
    ...(has("ipc") && dice.chance(0.3) ? { "kernel.shmmni": "2048" } : {}),
  };
  return {
    hostname: has("uts") && dice.chance(0.7) ? dice.one("one", "two.example") : undefined,
    linux: {
      namespaces: [...namespaces, ...(dice.chance(0.4) ? [{ type: "cgroup" }] : [])],
      ...(dice.chance(0.3) ? { devices: devicesOf(dice) } : {}),
      ...(dice.chance(0.4) ? { maskedPaths: dice.some("/proc/version", "/proc/keys", "/etc", "/not/there") } : {}),
      ...(dice.chance(0.4) ? { readonlyPaths: dice.some("/proc/sys", "/proc/bus", "/tmp", "/not/there") } : {}),
      ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
      ...(dice.chance(0.3) ? { rootfsPropagation: dice.one("private", "slave", "rprivate", "rslave") } : {}),
      ...(dice.chance(0.3) ? { seccomp: seccompOf(dice) } : {}),
      ...(dice.chance(0.4) ? { resources: resourcesOf(dice) } : {}),
    },
  };
}

function devicesOf(dice: Dice): readonly Json[] {
  return dice.some<Json>(
    {
      path: "/dev/mine",
      type: "c",
      major: 1,
      minor: 5,
      fileMode: dice.one(0o600, 0o666, 0o640),
      uid: dice.one(0, 1000),
      gid: 5,
    },
    { path: "/dev/pipe", type: "p", fileMode: 0o622 },
    { path: "/dev/disk", type: "b", major: 7, minor: 3, fileMode: 0o660, uid: 0, gid: 6 },
  );
}

function seccompOf(dice: Dice): Json {
  return {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64", ...dice.some("SCMP_ARCH_X86", "SCMP_ARCH_X32")],
    syscalls: [
      { names: ["getpriority", "nosuchcall"], action: "SCMP_ACT_ERRNO", ...(dice.chance(0.5) ? { errnoRet: 95 } : {}) },
    ],
  };
}

function resourcesOf(dice: Dice): Json {
  return {
    ...(dice.chance(0.5) ? { pids: { limit: dice.one(100, 1000) } } : {}),
    ...(dice.chance(0.5) ? { cpu: { shares: dice.one(2, 512, 1024), quota: 50000, period: 100000 } } : {}),
    ...(dice.chance(0.5) ? { memory: { limit: 128 << 20, ...(dice.chance(0.5) ? { swappiness: 10 } : {}) } } : {}),
    ...(dice.chance(0.3)
      ? {
          devices: [
            { allow: false, access: "rwm" },
            { allow: true, type: "c", major: 1, minor: 5, access: "rw" },
          ],
        }
      : {}),
  };
}
