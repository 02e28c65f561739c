/** What came to the specification after 1.2, and what is left of the older parts: config.md, config-linux.md, runtime.md. */
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { MOUNTS, NAMESPACES, worldOf } from "../harness.ts";
import { check, refuses, runs, type Scene, same, scene, that } from "../scene.ts";
import { mountLines, type Node } from "../world.ts";

const NETWORK = "config-linux.md#network-devices";
const MEMORY_POLICY = "config-linux.md#memory-policy";
const RDT = "config-linux.md#intelrdt";
const hasNuma = readFileSync("/proc/self/status", "utf8").includes("Mems_allowed:");

function ip(...words: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["ip", ...words]);
  if (exitCode !== 0) throw new Error(`ip ${words.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

/** A veth pair of the host's, gone at the end. */
function pair(near: string, far: string): Disposable {
  ip("link", "add", near, "type", "veth", "peer", "name", far);
  return { [Symbol.dispose]: () => void Bun.spawnSync(["ip", "link", "delete", far]) };
}

interface Device {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly addr_info: readonly { readonly local: string; readonly scope: string }[];
}

/** The devices but lo where a process is. */
function devicesOf(pid: unknown): readonly Device[] {
  const { stdout } = Bun.spawnSync(["nsenter", "-t", String(pid), "-n", "ip", "-json", "address", "show"]);
  const all: readonly Device[] = JSON.parse(stdout.toString());
  return all.filter(({ ifname }) => ifname !== "lo");
}

export const LATER_SCENES: readonly Scene[] = [
  scene("a network device", ({ driver, bundle }) => {
    using _ = pair("nd0", "nd1");
    ip("link", "set", "nd0", "mtu", "1400");
    ip("address", "add", "192.0.2.3/24", "dev", "nd0");
    bundle.configure({ linux: { netDevices: { nd0: { name: "eth7" } } } });
    const created = driver.create(bundle);
    if (created.status !== 0) throw new Error(created.stderr);
    return devicesOf(driver.state(bundle.id)["pid"])[0];
  })(
    check(NETWORK, "MUST", "the device is in the container, by the name that is asked for", (device) =>
      same(device?.ifname, "eth7"),
    ),
    check(NETWORK, "MUST", "its attributes and its permanent addresses of global scope are kept", (device) => {
      const addresses = device?.addr_info.filter(({ scope }) => scope === "global").map(({ local }) => local);
      same([device?.mtu, addresses], [1400, ["192.0.2.3"]]);
    }),
    check(NETWORK, "MUST", "the device is up", (device) => that(device?.flags.includes("UP") ?? false, "it is down")),
  ),
  scene("network devices by a template", ({ driver, bundle }) => {
    using _first = pair("nd0", "nd1");
    using _second = pair("nd2", "nd3");
    bundle.configure({ linux: { netDevices: { nd0: { name: "net%d" }, nd2: { name: "net%d" } } } });
    const created = driver.create(bundle);
    if (created.status !== 0) throw new Error(created.stderr);
    return devicesOf(driver.state(bundle.id)["pid"]).map(({ ifname }) => ifname);
  })(
    check(NETWORK, "MUST", "%d: the kernel makes a name that nobody has", (names) =>
      same(names.toSorted(), ["net0", "net1"]),
    ),
  ),
  scene("a network device whose name is taken", ({ driver, bundle }) => {
    using _ = pair("nd0", "nd1");
    bundle.configure({ linux: { netDevices: { nd0: { name: "lo" } } } });
    const outcome = driver.create(bundle);
    return { outcome, left: ip("-brief", "link", "show", "nd0") };
  })(
    check(NETWORK, "MUST", "a name that is taken in the container is an error", ({ outcome }) =>
      that(outcome.status !== 0, "the container was created"),
    ),
    check("runtime.md#errors", "MUST", "after an error the device is where it was", ({ left }) =>
      that(left.startsWith("nd0"), left),
    ),
  ),
  refuses(
    "a network device that is not there",
    { linux: { netDevices: { nothing0: {} } } },
    NETWORK,
    "MUST",
    "a device that cannot be moved is an error",
    /nothing0/,
  ),
  refuses(
    "a network device for the host's own network",
    { linux: { namespaces: NAMESPACES.filter(({ type }) => type !== "network"), netDevices: { lo: {} } } },
    NETWORK,
    "MUST",
    "without a network namespace there is nowhere to move it",
    /network|net/i,
  ),
  runs(
    "a memory policy",
    { linux: hasNuma ? { memoryPolicy: { mode: "MPOL_BIND", nodes: "0" } } : {} },
    ["read:/proc/self/numa_maps"],
    check(MEMORY_POLICY, "MUST", "the program's memory comes of the nodes that are asked for", ({ answers }) => {
      const maps = answers.get("read:/proc/self/numa_maps");
      if (typeof maps === "string" && maps.includes("N0="))
        that(/ bind(=static|=relative)?:0 /.test(maps), maps.slice(0, 200));
    }),
  ),
  refuses(
    "a memory policy of an unknown mode",
    { linux: { memoryPolicy: { mode: "MPOL_NOTHING" } } },
    MEMORY_POLICY,
    "MUST",
    "mode has one of the listed values",
    /MPOL_NOTHING/,
  ),
  refuses(
    "a memory policy with an unknown flag",
    { linux: { memoryPolicy: { mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_NOTHING"] } } },
    MEMORY_POLICY,
    "MUST",
    "flags are among the listed ones",
    /MPOL_F_NOTHING/,
  ),
  refuses(
    "a memory policy without the nodes it needs",
    { linux: { memoryPolicy: { mode: "MPOL_BIND" } } },
    MEMORY_POLICY,
    "MUST",
    "a policy that the kernel refuses is an error",
    /memoryPolicy|mempolicy/i,
  ),
  refuses(
    "a bandwidth that is none",
    { linux: { intelRdt: { memBwSchema: "L3:0=f" } } },
    RDT,
    "MUST",
    "memBwSchema begins with MB:",
    /memBwSchema|resctrl|rdt/i,
  ),
  scene("a container without a process", ({ driver, bundle }) => {
    bundle.configure({ process: undefined });
    const created = driver.create(bundle);
    const started = driver.command("start", bundle.id);
    return { created, started };
  })(
    check("runtime.md#start", "MUST", "start is an error if process was not set", ({ started }) =>
      that(started.status !== 0, "it was started"),
    ),
    check("config.md#process", "MAY", "process is optional: the container can be created", ({ created }) =>
      that(created.status === 0, created.stderr),
    ),
  ),
  scene("a UTS namespace by path", ({ driver, bundle }) => {
    const holder = Bun.spawn(["unshare", "--uts", "sh", "-c", "hostname other; echo ready; exec sleep 100"], {
      stdout: "pipe",
      stdin: "ignore",
    });
    try {
      const path = `/proc/${holder.pid}/ns/uts`;
      const deadline = Date.now() + 5000;
      while (readlinkSync(path) === readlinkSync("/proc/self/ns/uts") && Date.now() < deadline) Bun.sleepSync(2);
      const namespaces = [...NAMESPACES.filter(({ type }) => type !== "uts"), { type: "uts", path }];
      bundle.configure({ linux: { namespaces }, hostname: "joined" });
      const joined = worldOf(driver.run(bundle));
      bundle.configure({
        linux: { namespaces: [...namespaces.slice(0, -1), { type: "uts", path: "/proc/self/ns/uts" }] },
        hostname: readFileSync("/proc/sys/kernel/hostname", "utf8").trim(),
      });
      return { joined };
    } finally {
      holder.kill("SIGKILL");
    }
  })(
    check("config.md#hostname", "MUST", "hostname is what processes in a joined namespace see", ({ joined }) =>
      same(joined.hostname, "joined"),
    ),
  ),
  refuses(
    "an annotation without a key",
    { annotations: { "": "value" } },
    "config.md#annotations",
    "MUST",
    "keys are not empty",
    /annotation/,
  ),
  refuses(
    "an errno that nothing answers with",
    {
      linux: {
        seccomp: {
          defaultAction: "SCMP_ACT_ALLOW",
          syscalls: [{ names: ["getpriority"], action: "SCMP_ACT_KILL", errnoRet: 5 }],
        },
      },
    },
    "config-linux.md#seccomp",
    "MUST",
    "errnoRet with an action that supports no errno is an error",
    /errno/i,
  ),
  runs(
    "a remount",
    {
      mounts: [
        ...MOUNTS,
        { destination: "/tmp", type: "tmpfs", source: "first", options: ["size=64k"] },
        { destination: "/tmp", type: "tmpfs", source: "first", options: ["remount", "ro", "size=64k"] },
      ],
    },
    ["write:/tmp/file"],
    check("config.md#linux-mount-options", "MUST", "remount changes the mount that is there", ({ world, answers }) => {
      const there = mountLines(world).filter(({ place }) => place === "/tmp");
      same(
        [there.length, there.at(-1)?.options.includes("ro") || there.at(-1)?.superOptions.includes("ro")],
        [1, true],
      );
      that(/errno 30/.test(String(answers.get("write:/tmp/file"))), String(answers.get("write:/tmp/file")));
    }),
  ),
  runs(
    "a copied directory with a mode",
    { mounts: [...MOUNTS, { destination: "/etc", type: "tmpfs", source: "etc", options: ["tmpcopyup", "mode=700"] }] },
    ["stat:/etc", "stat:/etc/passwd"],
    check("config.md#linux-mount-options", "SHOULD", "tmpcopyup: mode= is the file system's", ({ answers }) => {
      same((answers.get("stat:/etc") as Node).mode, 0o700);
      same((answers.get("stat:/etc/passwd") as Node).kind, "file");
    }),
  ),
  runs(
    "a controller without a setting",
    { linux: { resources: { pids: {}, memory: {}, cpu: {}, blockIO: {} } } },
    [],
    check("config-linux.md#pids", "MUST", "limit is optional", ({ outcome }) => same(outcome.status, 0)),
  ),
  runs(
    "a user namespace that is the runtime's",
    { linux: { namespaces: [...NAMESPACES, { type: "user", path: "/proc/self/ns/user" }] } },
    [],
    check("config-linux.md#namespaces", "MUST", "user by path: the runtime's own is joined already", ({ world }) =>
      same([world.uid[0], world.namespaces["user"]], [0, readlinkSync("/proc/self/ns/user")]),
    ),
  ),
  ...(existsSync("/sys/fs/cgroup/cgroup.controllers")
    ? []
    : [
        runs(
          "a mount below a read-only cgroup mount",
          {
            mounts: [
              ...MOUNTS,
              { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] },
              { destination: "/sys/fs/cgroup/mine", type: "bind", source: "/sys/fs/cgroup/memory", options: ["bind"] },
            ],
          },
          ["stat:/sys/fs/cgroup/mine", "mknod:/sys/fs/cgroup/node"],
          check("config.md#mounts", "MUST", "a later mount has a place there", ({ world, answers }) => {
            same((answers.get("stat:/sys/fs/cgroup/mine") as Node).kind, "directory");
            that(
              mountLines(world).some(({ place }) => place === "/sys/fs/cgroup/mine"),
              "it is not mounted",
            );
            // Closed all the same when everything is in place.
            that(answers.get("mknod:/sys/fs/cgroup/node") !== "ok", "it can be written");
          }),
        ),
      ]),
];
