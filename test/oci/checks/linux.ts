/** config-linux.md: namespaces, devices, cgroups, sysctl, seccomp, personality and the rest; config.md#hostname */
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { type Bundle, type Json, MOUNTS, NAMESPACES, worldOf } from "../harness.ts";
import { check, includes, type Run, refuses, runs, type Scene, type Stage, same, scene, that } from "../scene.ts";
import { mountLines, type Node } from "../world.ts";

const SPACES = "config-linux.md#namespaces";
const DEVICES = "config-linux.md#devices";
const DEFAULT_DEVICES = "config-linux.md#default-devices";
const CGROUPS = "config-linux.md#control-groups";
const SECCOMP = "config-linux.md#seccomp";

const IS_V2 = existsSync("/sys/fs/cgroup/cgroup.controllers");

function without(...types: readonly string[]): readonly Json[] {
  return NAMESPACES.filter(({ type }) => !types.includes(String(type)));
}

function own(kind: string): string {
  return readlinkSync(`/proc/self/ns/${kind}`);
}

/** A process that holds namespaces of its own; disposing ends it. With --fork it is unshare's child. */
function holder(...flags: readonly string[]): { readonly pid: number; [Symbol.dispose](): void } {
  const child = Bun.spawn(["unshare", ...flags, "--", "sleep", "infinity"], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const dispose = () => child.kill("SIGKILL");
  const deadline = Date.now() + 5000;
  for (;;) {
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
    const pid = children === "" ? child.pid : Number(children);
    if (readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n") return { pid, [Symbol.dispose]: dispose };
    if (Date.now() > deadline) {
      dispose();
      throw new Error("unshare did not start its program");
    }
    Bun.sleepSync(2);
  }
}

/** The directory of a v1 controller that a bundle's cgroup has, or v2's. */
function cgroupDirectory(controller: string, { cgroup }: Bundle): string {
  return IS_V2 ? `/sys/fs/cgroup${cgroup}` : `/sys/fs/cgroup/${controller}${cgroup}`;
}

/** Where a limit is read, by controller and file. */
const FILES = IS_V2
  ? ({
      limit: ["memory", "memory.max"],
      reservation: ["memory", "memory.low"],
      shares: ["cpu", "cpu.weight"],
      quota: ["cpu", "cpu.max"],
      period: ["cpu", "cpu.max"],
      pids: ["pids", "pids.max"],
    } as const)
  : ({
      limit: ["memory", "memory.limit_in_bytes"],
      reservation: ["memory", "memory.soft_limit_in_bytes"],
      shares: ["cpu", "cpu.shares"],
      quota: ["cpu", "cpu.cfs_quota_us"],
      period: ["cpu", "cpu.cfs_period_us"],
      pids: ["pids", "pids.max"],
    } as const);

/** Creates a container with limits and reads control files of its cgroup; deletes it then. */
function limited(
  { driver, bundle }: Stage,
  linux: Json,
  files: { readonly [limit: string]: readonly [controller: string, file: string] } = FILES,
) {
  bundle.configure({ linux });
  const created = driver.create(bundle);
  if (created.status !== 0) throw new Error(created.stderr);
  const values = new Map(
    Object.entries(files).map(([name, [controller, file]]) => [
      name,
      readFileSync(`${cgroupDirectory(controller, bundle)}/${file}`, "utf8").trim(),
    ]),
  );
  const place = cgroupDirectory("memory", bundle);
  const wasThere = existsSync(place);
  const procs = readFileSync(`${place}/cgroup.procs`, "utf8").trim();
  const pid = driver.state(bundle.id)["pid"];
  const deleted = driver.command("delete", "--force", bundle.id);
  return { values, wasThere, procs, pid, deleted, isLeft: existsSync(place) };
}

const MEMORY = 64 << 20;

/** What only cgroup v1 has. */
const V1_SCENES: readonly Scene[] = [
  scene("swappiness", (stage) =>
    limited(stage, { resources: { memory: { swappiness: 33 } } }, { swappiness: ["memory", "memory.swappiness"] }),
  )(check("config-linux.md#memory", "MUST", "swappiness", ({ values }) => same(values.get("swappiness"), "33"))),
  refuses(
    "unified on cgroup v1",
    { linux: { resources: { unified: { "memory.high": "1000000" } } } },
    "config-linux.md#unified",
    "MUST",
    "unified naming a controller that is not there is an error",
    /unified|cgroup|v2/,
  ),
];

/** The last disk of the machine, as the kernel numbers it: one whose input and output can be limited. */
const DISK = /^\s*(\d+)\s+(\d+)\s+\d+ vda$/m
  .exec(readFileSync("/proc/partitions", "utf8"))
  ?.slice(1, 3)
  .map(Number) ?? [8, 0];

/** What only cgroup v2 has, or has by other names. */
const V2_SCENES: readonly Scene[] = [
  scene("unified", (stage) =>
    limited(
      stage,
      { resources: { unified: { "memory.high": "33554432", "pids.max": "21", "cgroup.max.depth": "5" } } },
      { high: ["", "memory.high"], pids: ["", "pids.max"], depth: ["", "cgroup.max.depth"] },
    ),
  )(
    check("config-linux.md#unified", "MUST", "each key is a file that is written", ({ values }) =>
      same([values.get("high"), values.get("pids")], ["33554432", "21"]),
    ),
    check("config-linux.md#unified", "MUST", "what the runtime does not know is written too", ({ values }) =>
      same(values.get("depth"), "5"),
    ),
  ),
  refuses(
    "unified with a controller that nobody has",
    { linux: { resources: { unified: { "nothing.max": "1" } } } },
    "config-linux.md#unified",
    "MUST",
    "unified naming a controller that is not there is an error",
    /nothing/,
  ),
  refuses(
    "unified with a value that is none",
    { linux: { resources: { unified: { "memory.high": "much" } } } },
    "config-linux.md#unified",
    "MUST",
    "a value that the kernel refuses is an error",
  ),
  scene("limits by v1's names", (stage) =>
    limited(
      stage,
      {
        resources: {
          memory: { limit: MEMORY, swap: MEMORY + (32 << 20) },
          cpu: { quota: 50000, period: 100000, burst: 20000, cpus: "0" },
          blockIO: { throttleReadBpsDevice: [{ major: DISK[0], minor: DISK[1], rate: 1048576 }] },
          hugepageLimits: [{ pageSize: "2MB", limit: 4194304 }],
        },
      },
      {
        swap: ["", "memory.swap.max"],
        burst: ["", "cpu.max.burst"],
        cpus: ["", "cpuset.cpus"],
        io: ["", "io.max"],
        huge: ["", "hugetlb.2MB.max"],
        reserved: ["", "hugetlb.2MB.rsvd.max"],
      },
    ),
  )(
    check("config-linux.md#memory", "MUST", "swap is memory and swap together", ({ values }) =>
      same(values.get("swap"), `${32 << 20}`),
    ),
    check("config-linux.md#cpu", "MUST", "burst", ({ values }) => same(values.get("burst"), "20000")),
    check("config-linux.md#cpu", "MUST", "cpus", ({ values }) => same(values.get("cpus"), "0")),
    check("config-linux.md#block-io", "MUST", "throttleReadBpsDevice", ({ values }) =>
      that(/ rbps=1048576 /.test(` ${values.get("io")} `), values.get("io") ?? "nothing"),
    ),
    check("config-linux.md#huge-page-limits", "MUST", "what is reserved is limited", ({ values }) =>
      same([values.get("huge"), values.get("reserved")], ["4194304", "4194304"]),
    ),
  ),
  scene("an idle CPU", (stage) => limited(stage, { resources: { cpu: { idle: 1 } } }, { idle: ["", "cpu.idle"] }))(
    check("config-linux.md#cpu", "MUST", "idle", ({ values }) => same(values.get("idle"), "1")),
  ),
  refuses(
    "swappiness",
    { linux: { resources: { memory: { swappiness: 33 } } } },
    "config-linux.md#unified",
    "MUST",
    "what v2 has nothing for is an error: swappiness",
    /swappiness/,
  ),
  refuses(
    "no OOM killer",
    { linux: { resources: { memory: { disableOOMKiller: true } } } },
    "config-linux.md#unified",
    "MUST",
    "what v2 has nothing for is an error: disableOOMKiller",
    /oom/i,
  ),
  scene("a limit below what is used", ({ driver, bundle }) => {
    bundle.configure({ process: { args: ["/world", "--pause"] } });
    const created = driver.create(bundle);
    if (created.status !== 0) throw new Error(created.stderr);
    const file = `${bundle.path}/resources.json`;
    writeFileSync(file, JSON.stringify({ memory: { limit: 4096, checkBeforeUpdate: true } }));
    const updated = driver.command("update", "--resources", file, bundle.id);
    return { updated, state: driver.state(bundle.id) };
  })(
    check(
      "config-linux.md#memory",
      "MUST",
      "checkBeforeUpdate: a limit below the usage is rejected",
      ({ updated, state }) => {
        that(updated.status !== 0, "it was set");
        same(state["status"], "created");
      },
    ),
  ),
  runs(
    "devices of a program in the kernel",
    {
      process: { capabilities: { bounding: ["CAP_MKNOD"], effective: ["CAP_MKNOD"], permitted: ["CAP_MKNOD"] } },
      linux: {
        devices: [{ path: "/dev/disk", type: "b", major: DISK[0], minor: DISK[1], fileMode: 0o666 }],
        resources: { devices: [{ allow: false, access: "rwm" }] },
      },
    },
    ["open:/dev/disk", "open:/dev/null"],
    check(
      "config-linux.md#allowed-device-list",
      "MUST",
      "a device that is not allowed cannot be opened",
      ({ answers }) => same([answers.get("open:/dev/disk"), answers.get("open:/dev/null")], ["errno 1", "ok"]),
    ),
  ),
];

export const LINUX_SCENES: readonly Scene[] = [
  runs(
    "namespaces of its own",
    {
      linux: { namespaces: [...NAMESPACES, { type: "cgroup" }] },
      mounts: [...MOUNTS, { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] }],
      hostname: "named",
      domainname: "example.org",
    },
    ["sethostname:x"],
    ...(
      [
        ["pid", "pid"],
        ["network", "net"],
        ["mount", "mnt"],
        ["ipc", "ipc"],
        ["uts", "uts"],
        ["cgroup", "cgroup"],
      ] as const
    ).map(([type, kind]) =>
      check<Run>(SPACES, "MUST", `${type}: without a path a new namespace is made`, ({ world }) =>
        that(world.namespaces[kind] !== own(kind), `the host's ${kind} namespace`),
      ),
    ),
    check(SPACES, "MUST", "a type that is not listed is inherited: user, time", ({ world }) =>
      same([world.namespaces["user"], world.namespaces["time"]], [own("user"), own("time")]),
    ),
    check(SPACES, "MUST", "pid: only processes of the container are visible", ({ world }) => same(world.processes, 1)),
    check(SPACES, "MUST", "pid: the process is the first of its namespace", ({ world }) => same(world.pid, 1)),
    check(SPACES, "MUST", "network: a network stack of its own", ({ world }) => {
      includes(world.interfaces, "lo");
      that(!world.interfaces.includes("eth0"), world.interfaces.join());
    }),
    check(SPACES, "MUST", "cgroup: the container's cgroup is the root it sees", ({ world }) => {
      const memory = world.cgroups.find((line) => /(:memory:|^0::)/.test(line)) ?? "";
      that(memory.endsWith(":/"), memory);
    }),
    check(SPACES, "MUST", "cgroup: a cgroup mount begins at the container's cgroup", ({ world }) =>
      same(
        mountLines(world)
          .filter(({ type, root }) => /^cgroup2?$/.test(type) && root !== "/")
          .map(({ place, root }) => `${place} ${root}`),
        [],
      ),
    ),
    check("config.md#hostname", "MUST", "hostname is the container's", ({ world }) => same(world.hostname, "named")),
    check("config.md#domainname", "MUST", "domainname is the container's", ({ world }) =>
      same(world.domainname, "example.org"),
    ),
  ),
  runs(
    "inherited namespaces",
    { linux: { namespaces: without("network", "ipc", "uts") }, hostname: undefined, mounts: undefined },
    [],
    check(SPACES, "MUST", "without mounts the container starts", ({ world }) => same(world.cwd, "/")),
  ),
  scene("inherited network, IPC and UTS", ({ driver, bundle }) => {
    bundle.configure({
      linux: { namespaces: without("network", "ipc", "uts") },
      hostname: undefined,
      mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
    });
    return worldOf(driver.run(bundle));
  })(
    ...(["net", "ipc", "uts"] as const).map((kind) =>
      check<{ namespaces: Run["world"]["namespaces"] }>(
        SPACES,
        "MUST",
        `${kind}: not listed, it is the runtime's`,
        (world) => same(world.namespaces[kind], own(kind)),
      ),
    ),
  ),
  scene("namespaces by path", ({ driver, bundle }) => {
    using other = holder("--net", "--ipc", "--uts");
    const path = (kind: string) => `/proc/${other.pid}/ns/${kind}`;
    const expected = ["net", "ipc", "uts"].map((kind) => readlinkSync(path(kind)));
    bundle.configure({
      hostname: undefined,
      linux: {
        namespaces: [
          ...without("network", "ipc", "uts"),
          { type: "network", path: path("net") },
          { type: "ipc", path: path("ipc") },
          { type: "uts", path: path("uts") },
        ],
      },
    });
    const { namespaces } = worldOf(driver.run(bundle));
    bundle.configure({ linux: { namespaces: [...without("network"), { type: "network", path: path("uts") }] } });
    const wrong = driver.create(bundle);
    bundle.configure({ linux: { namespaces: [...without("network"), { type: "network", path: "/proc/nothing" }] } });
    const missing = driver.create(bundle);
    return { joined: ["net", "ipc", "uts"].map((kind) => namespaces[kind]), expected, wrong, missing };
  })(
    check(SPACES, "MUST", "path: the process is placed in the namespace of that path", ({ joined, expected }) =>
      same(joined, expected),
    ),
    check(SPACES, "MUST", "path: one of another type is an error", ({ wrong }) =>
      that(wrong.status !== 0, "the container was created"),
    ),
    check(SPACES, "MUST", "path: one that is not there is an error", ({ missing }) =>
      that(missing.status !== 0, "the container was created"),
    ),
  ),
  scene("a pid namespace by path", ({ driver, bundle }) => {
    using other = holder("--pid", "--fork", "--mount-proc");
    const children = readFileSync(`/proc/${other.pid}/task/${other.pid}/children`, "utf8").trim();
    const path = `/proc/${children === "" ? other.pid : children}/ns/pid`;
    const expected = readlinkSync(path);
    bundle.configure({ linux: { namespaces: [...without("pid"), { type: "pid", path }] } });
    return { world: worldOf(driver.run(bundle)), expected };
  })(
    check(SPACES, "MUST", "pid by path: the process is inside it", ({ world, expected }) =>
      same(world.namespaces["pid"], expected),
    ),
    check(SPACES, "MUST", "pid by path: it is not the first process", ({ world }) =>
      that(world.pid > 1, `${world.pid}`),
    ),
  ),
  runs(
    "a time namespace",
    {
      linux: {
        namespaces: [...NAMESPACES, { type: "time" }],
        timeOffsets: { monotonic: { secs: 7200, nanosecs: 5 }, boottime: { secs: 86400 } },
      },
    },
    [],
    check(
      "config-linux.md#offset-for-time-namespace",
      "MUST",
      "the process has a time namespace of its own",
      ({ world }) => that(world.namespaces["time"] !== own("time"), "it is the host's"),
    ),
    check("config-linux.md#offset-for-time-namespace", "MUST", "timeOffsets.monotonic", ({ world }) =>
      that(/monotonic\s+7200\s+5/.test(world.timeOffsets), world.timeOffsets),
    ),
    check("config-linux.md#offset-for-time-namespace", "MUST", "timeOffsets.boottime", ({ world }) => {
      that(/boottime\s+86400\s+0/.test(world.timeOffsets), world.timeOffsets);
      that(world.boottime > 86400, `${world.boottime}`);
    }),
  ),
  refuses(
    "time offsets without a time namespace",
    { linux: { timeOffsets: { monotonic: { secs: 1 } } } },
    "config-linux.md#offset-for-time-namespace",
    "SHOULD",
    "timeOffsets without a new time namespace is an error",
    /time/,
  ),
  refuses(
    "a namespace twice",
    { linux: { namespaces: [...NAMESPACES, { type: "pid" }] } },
    SPACES,
    "MUST",
    "duplicated namespaces of one type are an error",
    /pid|namespace|duplicate/,
  ),
  refuses(
    "an unknown namespace",
    { linux: { namespaces: [...NAMESPACES, { type: "nothing" }] } },
    SPACES,
    "MUST",
    "an unknown type is an error",
    /nothing|namespace/,
  ),
  refuses(
    "a relative namespace path",
    { linux: { namespaces: [...without("network"), { type: "network", path: "proc/self/ns/net" }] } },
    SPACES,
    "MUST",
    "path is absolute",
  ),
  refuses(
    "a host name without a UTS namespace",
    { linux: { namespaces: without("uts") }, hostname: "other" },
    "config.md#hostname",
    "SHOULD",
    "hostname needs a UTS namespace of the container's own",
    /hostname|uts/i,
  ),
  runs(
    "devices",
    {
      linux: {
        devices: [
          { path: "/dev/mine", type: "c", major: 1, minor: 5, fileMode: 0o640, uid: 3, gid: 4 },
          { path: "/dev/sub/fifo", type: "p", fileMode: 0o622 },
          { path: "/srv/outside", type: "u", major: 1, minor: 9, fileMode: 0o444 },
          { path: "/dev/block", type: "b", major: 7, minor: 77, fileMode: 0o600 },
        ],
      },
    },
    ["stat:/srv/outside", "stat:/dev/sub/fifo", "open:/dev/full"],
    ...(
      [
        ["null", 1, 3],
        ["zero", 1, 5],
        ["full", 1, 7],
        ["random", 1, 8],
        ["urandom", 1, 9],
        ["tty", 5, 0],
      ] as const
    ).map(([name, major, minor]) =>
      check<Run>(DEFAULT_DEVICES, "MUST", `/dev/${name} is supplied`, ({ world }) => {
        const device = world.dev[name];
        same([device?.kind, device?.major, device?.minor, device?.mode], ["char", major, minor, 0o666]);
      }),
    ),
    check(DEFAULT_DEVICES, "MUST", "/dev/ptmx is that of the container's devpts", ({ world }) =>
      same(world.dev["ptmx"]?.target?.replace("/dev/", ""), "pts/ptmx"),
    ),
    check(DEFAULT_DEVICES, "MUST", "without a terminal there is no /dev/console", ({ world }) =>
      same(world.dev["console"], undefined),
    ),
    check(DEVICES, "MUST", "a character device with its numbers", ({ world }) =>
      same([world.dev["mine"]?.kind, world.dev["mine"]?.major, world.dev["mine"]?.minor], ["char", 1, 5]),
    ),
    check(DEVICES, "MUST", "fileMode is the device's", ({ world }) => same(world.dev["mine"]?.mode, 0o640)),
    check(DEVICES, "MUST", "uid and gid own the device", ({ world }) =>
      same([world.dev["mine"]?.uid, world.dev["mine"]?.gid], [3, 4]),
    ),
    check(DEVICES, "MUST", "a block device", ({ world }) =>
      same([world.dev["block"]?.kind, world.dev["block"]?.major, world.dev["block"]?.minor], ["block", 7, 77]),
    ),
    check(DEVICES, "MUST", "a pipe, which has no numbers, in a directory that is made", ({ answers }) =>
      same((answers.get("stat:/dev/sub/fifo") as Node).kind, "pipe"),
    ),
    check(DEVICES, "MUST", "a device outside /dev, of type u", ({ answers }) => {
      const { kind, major, minor } = answers.get("stat:/srv/outside") as Node;
      same([kind, major, minor], ["char", 1, 9]);
    }),
  ),
  runs(
    "a default device once more",
    { linux: { devices: [{ path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 0o666 }] } },
    [],
    check(DEVICES, "MUST", "the same device twice is no error", ({ outcome }) => same(outcome.status, 0)),
  ),
  refuses(
    "a file where a device is to be",
    (bundle) => {
      writeFileSync(`${bundle.rootfs}/etc/device`, "");
      return { linux: { devices: [{ path: "/etc/device", type: "c", major: 1, minor: 3 }] } };
    },
    DEVICES,
    "MUST",
    "a file at path that does not match the device is an error",
    /etc\/device/,
  ),
  refuses(
    "a device without numbers",
    { linux: { devices: [{ path: "/dev/x", type: "c" }] } },
    DEVICES,
    "MUST",
    "major and minor are required unless the type is p",
  ),
  refuses(
    "a device of an unknown type",
    { linux: { devices: [{ path: "/dev/x", type: "x", major: 1, minor: 3 }] } },
    DEVICES,
    "MUST",
    "type is one of c, b, u, p",
    /type|x/,
  ),
  scene("limits", (stage) =>
    limited(stage, {
      resources: {
        memory: { limit: MEMORY, reservation: MEMORY / 2 },
        cpu: { shares: 512, quota: 50000, period: 100000 },
        pids: { limit: 42 },
      },
    }),
  )(
    check("config-linux.md#memory", "MUST", "limit", ({ values }) => same(values.get("limit"), `${MEMORY}`)),
    check("config-linux.md#memory", "MUST", "reservation", ({ values }) =>
      same(values.get("reservation"), `${MEMORY / 2}`),
    ),
    check("config-linux.md#cpu", "MUST", "shares", ({ values }) => {
      // v2 has weights, of which 100 is the usual one; runtimes differ in the curve.
      const weight = Number(values.get("shares"));
      if (IS_V2) that(weight >= 1 && weight < 100, `weight ${weight}`);
      else same(weight, 512);
    }),
    check("config-linux.md#cpu", "MUST", "quota", ({ values }) => same(values.get("quota")?.split(" ")[0], "50000")),
    check("config-linux.md#cpu", "MUST", "period", ({ values }) =>
      same(values.get("period")?.split(" ").at(-1), "100000"),
    ),
    check("config-linux.md#pids", "MUST", "limit", ({ values }) => same(values.get("pids"), "42")),
    check(
      "config-linux.md#cgroups-path",
      "MUST",
      "an absolute cgroupsPath is below the cgroups' mount point",
      ({ wasThere }) => same(wasThere, true),
    ),
    check("config-linux.md#cgroups-path", "MUST", "the container's process is in it", ({ procs, pid }) =>
      includes(procs.split("\n"), String(pid)),
    ),
    check("runtime.md#delete", "MUST", "delete removes the cgroup that create made", ({ deleted, isLeft }) =>
      same([deleted.status, isLeft], [0, false]),
    ),
  ),
  scene("unlimited", (stage) =>
    limited(stage, { resources: { memory: { limit: -1 }, pids: { limit: -1 }, cpu: { quota: -1 } } }),
  )(
    check("config-linux.md#memory", "MUST", "-1 is unlimited", ({ values }) =>
      that(/^(max|9\d{18})$/.test(values.get("limit") ?? ""), values.get("limit") ?? "nothing"),
    ),
    check("config-linux.md#pids", "MUST", "a limit of -1 is none", ({ values }) => same(values.get("pids"), "max")),
    check("config-linux.md#cpu", "MUST", "a quota of -1 is none", ({ values }) =>
      that(/^(-1|max 100000)$/.test(values.get("quota") ?? ""), values.get("quota") ?? "nothing"),
    ),
  ),
  runs(
    "a CPU set",
    { linux: { resources: { cpu: { cpus: "0", mems: "0" } } } },
    [],
    check("config-linux.md#cpu", "MUST", "cpus: the container runs on these", ({ world }) => same(world.affinity, [0])),
  ),
  refuses(
    "a CPU that is not there",
    { linux: { resources: { cpu: { cpus: "4096" } } } },
    "config-linux.md#cpu",
    "MUST",
    "cpus that the machine lacks are an error",
  ),
  runs(
    "allowed devices",
    {
      linux: {
        devices: [{ path: "/dev/loopy", type: "c", major: 1, minor: 9, fileMode: 0o666 }],
        resources: {
          devices: [
            { allow: false, access: "rwm" },
            { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
            { allow: true, type: "c", major: 1, minor: 7, access: "rwm" },
            { allow: false, type: "c", major: 1, minor: 7, access: "w" },
          ],
        },
      },
    },
    ["open:/dev/null", "open:/dev/loopy", "open:/dev/full"],
    check("config-linux.md#allowed-device-list", "MUST", "an allowed device can be opened", ({ answers }) =>
      same(answers.get("open:/dev/null"), "ok"),
    ),
  ),
  ...(IS_V2 ? V2_SCENES : V1_SCENES),
  refuses(
    "a cgroup path that climbs",
    (bundle) => ({ linux: { cgroupsPath: `${bundle.cgroupsPath}/../../../..` } }),
    "config-linux.md#cgroups-path",
    "MAY",
    "a cgroupsPath may be considered invalid, and then is an error",
  ),
  refuses(
    "a huge page size nobody has",
    { linux: { resources: { hugepageLimits: [{ pageSize: "3MB", limit: 1000 }] } } },
    "config-linux.md#huge-page-limits",
    "MUST",
    "a page size without a control file is an error",
  ),
  refuses(
    "network classes where there is no controller",
    { linux: { resources: { network: { classID: 1048577 } } } },
    CGROUPS,
    "MUST",
    "a limit that this machine has no controller for is an error",
    /net_cls|network|cgroup/,
  ),
  refuses(
    "RDMA where there is no controller",
    { linux: { resources: { rdma: { mlx5_1: { hcaHandles: 3 } } } } },
    "config-linux.md#rdma",
    "MUST",
    "a limit that this machine has no controller for is an error",
    /rdma|cgroup/i,
  ),
  refuses(
    "Intel RDT where there is no resctrl",
    { linux: { intelRdt: { closID: "group", l3CacheSchema: "L3:0=f" } } },
    "config-linux.md#intelrdt",
    "MUST",
    "intelRdt without a mounted resctrl is an error",
    /rdt|resctrl/i,
  ),
  runs(
    "sysctls",
    {
      linux: {
        sysctl: {
          "net.ipv4.ip_forward": "1",
          "kernel.shmmax": "1000000",
          "net/ipv4/conf/lo/forwarding": "1",
          "fs.mqueue.msg_max": "20",
        },
      },
    },
    [
      "read:/proc/sys/net/ipv4/ip_forward",
      "read:/proc/sys/kernel/shmmax",
      "read:/proc/sys/net/ipv4/conf/lo/forwarding",
      "read:/proc/sys/fs/mqueue/msg_max",
    ],
    check("config-linux.md#sysctl", "MUST", "a parameter of the network namespace is set", ({ answers }) =>
      same(answers.get("read:/proc/sys/net/ipv4/ip_forward"), "1\n"),
    ),
    check("config-linux.md#sysctl", "MUST", "a parameter of the IPC namespace is set", ({ answers }) => {
      same(answers.get("read:/proc/sys/kernel/shmmax"), "1000000\n");
      same(answers.get("read:/proc/sys/fs/mqueue/msg_max"), "20\n");
    }),
    check("config-linux.md#sysctl", "SHOULD", "a name may have slashes, as in sysctl(8)", ({ answers }) =>
      same(answers.get("read:/proc/sys/net/ipv4/conf/lo/forwarding"), "1\n"),
    ),
  ),
  refuses(
    "a sysctl of the host",
    // As it is: a runtime that does not refuse it must not change the machine.
    { linux: { sysctl: { "vm.swappiness": readFileSync("/proc/sys/vm/swappiness", "utf8").trim() } } },
    "config-linux.md#sysctl",
    "SHOULD",
    "a parameter that is not in a namespace is refused",
    /vm.swappiness/,
  ),
  refuses(
    "a network sysctl in the host's network",
    { linux: { namespaces: without("network"), sysctl: { "net.ipv4.ip_forward": "1" } } },
    "config-linux.md#sysctl",
    "SHOULD",
    "a parameter of a namespace that is not the container's own is refused",
    /net.ipv4.ip_forward/,
  ),
  runs(
    "a system call filter",
    {
      process: { noNewPrivileges: false },
      linux: {
        seccomp: {
          defaultAction: "SCMP_ACT_ALLOW",
          architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
          syscalls: [
            { names: ["getpriority"], action: "SCMP_ACT_ERRNO" },
            { names: ["setpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 95 },
            { names: ["nosuchcall"], action: "SCMP_ACT_ERRNO" },
            {
              names: ["personality"],
              action: "SCMP_ACT_ERRNO",
              errnoRet: 38,
              args: [{ index: 0, value: 8, op: "SCMP_CMP_EQ" }],
            },
          ],
        },
      },
    },
    ["syscall:140,0,0", "syscall:141,0,0,5", "syscall:135,8", "syscall:135,0xffffffff"],
    check(SECCOMP, "MUST", "a filter is in force", ({ world }) => same(world.seccomp, 2)),
    check(SECCOMP, "MUST", "SCMP_ACT_ERRNO without errnoRet answers EPERM", ({ answers }) =>
      same(answers.get("syscall:140,0,0"), "errno 1"),
    ),
    check(SECCOMP, "MUST", "errnoRet is what the call answers", ({ answers }) =>
      same(answers.get("syscall:141,0,0,5"), "errno 95"),
    ),
    check(SECCOMP, "MUST", "args: a call whose argument matches", ({ answers }) =>
      same(answers.get("syscall:135,8"), "errno 38"),
    ),
    check(SECCOMP, "MUST", "args: a call whose argument does not match", ({ answers }) =>
      same(answers.get("syscall:135,0xffffffff"), "ok"),
    ),
    check(SECCOMP, "SHOULD", "a name that this kernel does not know is no error", ({ outcome }) =>
      same(outcome.status, 0),
    ),
  ),
  runs(
    "flags of a filter",
    {
      linux: {
        seccomp: {
          defaultAction: "SCMP_ACT_ALLOW",
          architectures: ["SCMP_ARCH_X86_64"],
          flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
          syscalls: [{ names: ["getpriority"], action: "SCMP_ACT_ERRNO" }],
        },
      },
    },
    [],
    check(SECCOMP, "MUST", "flags of the list are taken", ({ world }) => same(world.seccomp, 2)),
  ),
  refuses(
    "an unknown action",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_NOTHING" } } },
    SECCOMP,
    "MUST",
    "an action that does not exist is an error",
    /SCMP_ACT_NOTHING|seccomp/,
  ),
  refuses(
    "an unknown flag",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_NOTHING"] } } },
    SECCOMP,
    "MUST",
    "a flag that does not exist is an error",
    /SECCOMP_FILTER_FLAG_NOTHING|flag/,
  ),
  refuses(
    "an unknown architecture",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_NOTHING"] } } },
    SECCOMP,
    "MUST",
    "an architecture that does not exist is an error",
    /SCMP_ARCH_NOTHING|arch/,
  ),
  refuses(
    "a rule without names",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [], action: "SCMP_ACT_ERRNO" }] } } },
    SECCOMP,
    "MUST",
    "names has at least one entry",
  ),
  refuses(
    "metadata without a listener",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x" } } },
    SECCOMP,
    "MUST",
    "listenerMetadata is not set without listenerPath",
    /listener/,
  ),
  runs(
    "a 32-bit personality",
    { linux: { personality: { domain: "LINUX32" } } },
    [],
    check("config-linux.md#personality", "MUST", "LINUX32: uname shows a 32-bit machine", ({ world }) =>
      same(world.machine, "i686"),
    ),
    check("config-linux.md#personality", "MUST", "LINUX32: the personality is PER_LINUX32", ({ world }) =>
      same(world.personality, 8),
    ),
  ),
  runs(
    "the usual personality",
    { linux: { personality: { domain: "LINUX" } } },
    [],
    check("config-linux.md#personality", "MUST", "LINUX: nothing changes", ({ world }) =>
      same([world.machine, world.personality], ["x86_64", 0]),
    ),
  ),
  refuses(
    "an unknown personality",
    { linux: { personality: { domain: "SOLARIS" } } },
    "config-linux.md#personality",
    "MUST",
    "domain has one of the listed values",
    /SOLARIS|personality/,
  ),
];
