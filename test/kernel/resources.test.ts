/** Limits: in the kernel's own files, and effective. First the room itself, then `ctr run`. */
import { afterEach, describe, expect } from "bun:test";
import { existsSync, rmdirSync } from "node:fs";
import { type Cgroup, createCgroup, listCgroups, openCgroup, orphanCgroups } from "../../internal/cgroups/cgroup.ts";
import { cgroupLayout, type Layout } from "../../internal/cgroups/layout.ts";
import { ALL_DEVICE_RULES, DEFAULT_DEVICE_RULES } from "../../internal/security/paths.ts";
import type { Resources } from "../../internal/spec/runtime.ts";
import { type Fd, O_PATH, open } from "../../internal/sys/fd.ts";
import { reapChild, waitChild } from "../../internal/sys/process.ts";
import { type Spawned, spawnExecutable } from "../../internal/sys/spawn.ts";
import { tempEngine } from "../lib/engine.ts";
import { cgroupParent, cgroupsBelow, kernelFile } from "../lib/host.ts";
import { binary, isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const parent = cgroupParent();

/** The v2 hierarchy of a hybrid machine has no controllers, but everything else that v2 does. */
function v2Layout(): Layout | undefined {
  const hierarchy = cgroupLayout().hierarchies.find(({ version }) => version === 2);
  return hierarchy === undefined ? undefined : { mode: "v2", hierarchies: [hierarchy] };
}

describe("the room", () => {
  const made: Cgroup[] = [];
  let count = 0;
  afterEach(() => {
    for (const cgroup of made.splice(0)) cgroup.destroy();
  });

  function make(resources: Resources, layout: Layout = cgroupLayout()): Cgroup {
    const cgroup = createCgroup(`${parent}/room-${count++}`, resources, layout);
    made.push(cgroup);
    return cgroup;
  }

  /** A shell inside, which is ours to reap. */
  function start(cgroup: Cgroup, script: string): Spawned {
    using executable: Fd = open("/bin/sh", O_PATH);
    using input = open("/dev/null", 0);
    using entrance = cgroup.entrance();
    return spawnExecutable(executable.number, ["sh", "-c", script], ["PATH=/usr/bin:/bin"], {
      fds: [input.number, 1, 2],
      ...entrance,
    });
  }

  const layouts: readonly (readonly [string, () => Layout | undefined])[] = [
    ["the machine's layout", cgroupLayout],
    ["the v2 hierarchy", v2Layout],
  ];
  for (const [name, layout] of layouts) {
    const there = layout();
    const onlyIf = test.if(there !== undefined);

    onlyIf(`${name}: what a process starts is inside, and all of it is killed`, async () => {
      const cgroup = make({ devices: DEFAULT_DEVICE_RULES }, there);
      const child = start(cgroup, "sleep 1000 & sh -c 'sleep 1001 & sleep 1002' & wait");
      await waitFor("five processes", () => cgroup.pids().length === 5);
      expect(cgroup.pids()).toContain(child.pid);
      const path = `${parent}/room-${count - 1}`;
      for (const pid of cgroup.pids()) expect(kernelFile(`/proc/${pid}/cgroup`)).toContain(`:${path}\n`);
      cgroup.killAll();
      expect(cgroup.pids()).toEqual([]);
      expect(waitChild(child.pid, true)).toEqual({ status: 137, signal: 9 });
      cgroup.remove();
      expect(cgroup.directories.filter(({ directory }) => existsSync(directory))).toEqual([]);
    });

    onlyIf(`${name}: frozen, nothing runs; killed while frozen, nothing is left`, async () => {
      const cgroup = make({}, there);
      const child = start(cgroup, "while :; do sleep 0.01; done");
      cgroup.freeze();
      const ticks = () => kernelFile(`/proc/${child.pid}/stat`).split(" ").slice(13, 17).join(" ");
      const before = ticks();
      await Bun.sleep(60); // the one thing to see is that nothing happens meanwhile
      expect(ticks()).toBe(before);
      cgroup.thaw();
      await waitFor("it to run on", () => ticks() !== before);
      cgroup.freeze();
      cgroup.killAll();
      expect(waitChild(child.pid, true)?.signal).toBe(9);
    });

    onlyIf(`${name}: a process that runs already can be moved in`, () => {
      const cgroup = make({}, there);
      const child = Bun.spawn(["sleep", "1000"]);
      cgroup.addProcess(child.pid);
      expect(cgroup.pids()).toEqual([child.pid]);
    });

    onlyIf(`${name}: a cgroup with a living process is not removed, and one with children is`, async () => {
      const cgroup = make({}, there);
      const child = start(cgroup, "sleep 1000");
      expect(() => cgroup.remove(50)).toThrow(`process ${child.pid} is still inside`);
      cgroup.killAll();
      waitChild(child.pid, true);
      for (const { directory } of cgroup.directories) Bun.spawnSync(["mkdir", "-p", `${directory}/a/b`]);
      cgroup.remove();
      expect(cgroup.directories.filter(({ directory }) => existsSync(directory))).toEqual([]);
    });

    onlyIf(`${name}: a fork bomb is killed as a whole`, async () => {
      const cgroup = make({}, there);
      const child = start(cgroup, "f() { f & sleep 0.05; f; }; f 2>/dev/null");
      await waitFor("it to spread", () => cgroup.pids().length > 30);
      cgroup.killAll();
      expect(cgroup.pids()).toEqual([]);
      waitChild(child.pid, true);
    });

    onlyIf(`${name}: destroyed in turns: whoever else is served has the thread in between`, async () => {
      const cgroup = make({}, there);
      const child = start(cgroup, "trap '' TERM; sleep 1000 & sleep 1001 & wait");
      await waitFor("three processes", () => cgroup.pids().length === 3);
      for (const { directory } of cgroup.directories) Bun.spawnSync(["mkdir", "-p", `${directory}/below`]);
      let turns = 0;
      await cgroup.destroyWith(async (ms) => {
        turns++;
        await Bun.sleep(ms);
        reapChild(child.pid);
      });
      expect(turns).toBeGreaterThan(0);
      expect(cgroup.directories.filter(({ directory }) => existsSync(directory))).toEqual([]);
    });

    onlyIf(`${name}: devices are refused unless a rule allows them, and rules are replaced as a whole`, () => {
      const cgroup = make({ devices: DEFAULT_DEVICE_RULES }, there);
      const tries = () =>
        waitChild(start(cgroup, "exec 2>/dev/null; head -c1 </dev/zero >/dev/null && exec 3</dev/kmsg").pid, true)
          ?.status;
      // The shell's own status for a redirection that fails.
      expect(tries()).toBe(2);
      cgroup.update({ devices: ALL_DEVICE_RULES });
      expect(tries()).toBe(0);
      cgroup.update({ devices: DEFAULT_DEVICE_RULES });
      expect(tries()).toBe(2);
    });
  }

  test("orphans are the cgroups whose container is gone", () => {
    const [one, two] = [make({}), make({})].map(({ path }) => path.slice(parent.length + 1));
    expect(listCgroups(parent)).toContain(one ?? "");
    const orphans = orphanCgroups(new Set([one ?? ""]), parent).map(({ path }) => path);
    expect(orphans).toContain(`${parent}/${two}`);
    expect(orphans).not.toContain(`${parent}/${one}`);
    expect(openCgroup(`${parent}/nobody`).pids()).toEqual([]);
  });

  test("a leftover of the same name without a process gives way, with one it does not", () => {
    const first = make({ pids: { limit: 7 } });
    const second = createCgroup(first.path, {});
    expect(second.stats().pidsLimit).toBeUndefined();
    const child = start(second, "sleep 1000");
    expect(() => createCgroup(first.path, {})).toThrow("is still inside");
    second.killAll();
    waitChild(child.pid, true);
  });

  test.if(cgroupLayout().mode !== "v2")("v1: a cpuset that is asked for later takes those who run in", async () => {
    const cgroup = make({});
    const child = start(cgroup, "sleep 1000 & wait");
    await waitFor("two processes", () => cgroup.pids().length === 2);
    cgroup.update({ cpu: { cpus: "0" } });
    for (const pid of cgroup.pids()) expect(kernelFile(`/proc/${pid}/status`)).toContain("Cpus_allowed_list:\t0\n");
    expect(() => cgroup.update({ cpu: { cpus: "4095" } })).toThrow("Requested CPUs are not available");
    cgroup.killAll();
    waitChild(child.pid, true);
  });

  test.if(cgroupLayout().mode !== "v2")(
    "v1: a process that moved itself elsewhere in one hierarchy is killed too",
    async () => {
      const cgroup = make({});
      const freezer = cgroup.directoryOf("freezer") ?? "";
      const child = start(cgroup, `echo $$ > ${freezer}/../cgroup.procs; exec sleep 1000`);
      await waitFor("it to move", () => kernelFile(`/proc/${child.pid}/cgroup`).includes(`freezer:${parent}\n`));
      cgroup.destroy();
      expect(waitChild(child.pid, true)?.signal).toBe(9);
      expect(cgroup.directories.filter(({ directory }) => existsSync(directory))).toEqual([]);
    },
  );

  test.if(needs("cgroup-v1"))("v1: memory and swap limits go up and down in either order", () => {
    const cgroup = make({ memory: { limit: 16 << 20, swap: 32 << 20 } });
    const directory = cgroup.directoryOf("memory") ?? "";
    const limits = () => [
      Number(kernelFile(`${directory}/memory.limit_in_bytes`)),
      Number(kernelFile(`${directory}/memory.memsw.limit_in_bytes`)),
    ];
    expect(limits()).toEqual([16 << 20, 32 << 20]);
    cgroup.update({ memory: { limit: 64 << 20, swap: 128 << 20 } });
    expect(limits()).toEqual([64 << 20, 128 << 20]);
    cgroup.update({ memory: { limit: 8 << 20, swap: 8 << 20 } });
    expect(limits()).toEqual([8 << 20, 8 << 20]);
    cgroup.update({ memory: { limit: -1, swap: -1 } });
    expect(cgroup.stats().memoryLimit).toBeUndefined();
  });

  test("what was used is counted", async () => {
    const cgroup = make({ pids: { limit: 50 } });
    const child = start(cgroup, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000");
    await waitFor("the loop", () => (cgroup.stats().cpuUsageNs ?? 0) > 1e6);
    const stats = cgroup.stats();
    expect(stats.memoryUsage).toBeGreaterThan(0);
    expect(stats.pids).toBeGreaterThan(0);
    expect(stats.pidsLimit).toBe(50);
    cgroup.killAll();
    waitChild(child.pid, true);
  });
});

/** The text of one file of the one container that runs; v1's name or v2's. */
function file(id: string, v1: string, v2: string): string {
  const [controller = ""] = v1.split("/");
  for (const path of cgroupsBelow(parent)) {
    if (!path.endsWith(`/${id}`)) continue;
    const text = kernelFile(
      path.includes(`/${controller}/`) ? `${path}/${v1.slice(controller.length + 1)}` : `${path}/${v2}`,
    );
    if (text !== "") return text.trim();
  }
  return "";
}

async function limited(flags: readonly string[], body: (id: string) => void | Promise<void>): Promise<void> {
  const id = await engine.ok("run", "-d", "--network", "none", ...flags, image, "probe", "pause");
  try {
    await body(id);
  } finally {
    await engine.ok("rm", "-f", id);
  }
}

/** `ctr run` by a root without CAP_SYS_RESOURCE whose own limit of files is 4096. */
async function lessPowerful(flags: readonly string[], script: string) {
  const run = [binary(), "run", "--rm", "--network", "none", ...flags, image, "sh", "-c", script];
  const quoted = run.map((word) => `'${word}'`).join(" ");
  const command = ["capsh", "--drop=cap_sys_resource", "--", "-c", `ulimit -n 4096; exec ${quoted}`];
  const child = Bun.spawn(command, { env: { ...process.env, ...engine.env }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr, status };
}

describe("run", () => {
  test("every process of a container is in its cgroup, those of exec and those without a parent too", async () => {
    await limited([], async (id) => {
      const own = await engine.ok("exec", id, "probe", "cgroup");
      const first = await engine.ok("exec", id, "cat", "/proc/1/cgroup");
      expect(own).toBe(first);
      await engine.ok("exec", id, "sh", "-c", "(sleep 1000 >/dev/null 2>&1 &) & wait");
      const pids = file(id, "pids/cgroup.procs", "cgroup.procs").split("\n");
      expect(pids.length).toBe(2);
      for (const pid of pids) expect(kernelFile(`/proc/${pid}/cgroup`)).toContain(`/${id}\n`);
    });
  });

  test("-m: swap may be given, and -1 is none", async () => {
    if (file("", "memory/memory.memsw.limit_in_bytes", "memory.swap.max") === "" && !needs("cgroup-v1")) return;
    await limited(["-m", "32m", "--memory-swap", "48m"], (id) => {
      expect(file(id, "memory/memory.memsw.limit_in_bytes", "memory.swap.max")).toMatch(/^(50331648|16777216)$/);
    });
    await limited(["-m", "32m", "--memory-swap", "-1"], (id) => {
      expect(file(id, "memory/memory.memsw.limit_in_bytes", "memory.swap.max")).toMatch(/^(9223372036854771712|max)$/);
    });
  });

  test("--memory-reservation: in the kernel's file", async () => {
    await limited(["-m", "64m", "--memory-reservation", "16m"], (id) => {
      expect(file(id, "memory/memory.soft_limit_in_bytes", "memory.low")).toBe("16777216");
    });
  });

  test("-m: a child that exceeds it is killed, the container lives on, and OOMKilled is told", async () => {
    const name = await engine.ok("create", "-m", "16m", "--network", "none", image, "probe", "child-alloc", "200");
    const result = await engine.ctr("start", "-a", name);
    expect(result.stdout).toBe("child 137\n");
    expect(result.status).toBe(0);
    expect(await engine.ok("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", name)).toBe("true 0");
    await engine.ok("rm", name);
  });

  test("without a memory limit nothing says OOMKilled", async () => {
    const name = await engine.ok("create", "--network", "none", image, "sh", "-c", "kill -9 $$; exit 3");
    await engine.ctr("start", "-a", name);
    expect(await engine.ok("inspect", "-f", "{{.State.OOMKilled}}", name)).toBe("false");
    await engine.ok("rm", name);
  });

  test("--cpus: a busy program is throttled by the kernel", async () => {
    const id = await engine.ok(
      "run",
      "-d",
      "--network",
      "none",
      "--cpus",
      "0.2",
      image,
      "sh",
      "-c",
      "while :; do :; done",
    );
    try {
      await waitFor("throttling", () => {
        const throttled = /nr_throttled (\d+)/.exec(file(id, "cpu/cpu.stat", "cpu.stat"))?.[1];
        return Number(throttled) >= 3;
      });
    } finally {
      await engine.ok("rm", "-f", id);
    }
  });

  test("--cpuset-cpus: a CPU that is not there is refused before anything is made", async () => {
    const stderr = await engine.fails(
      125,
      "run",
      "--name",
      "no-cpu",
      "--cpuset-cpus",
      "4095",
      "--network",
      "none",
      image,
      "true",
    );
    expect(stderr).toContain("Requested CPUs are not available - requested 4095, available: ");
  });

  test("--pids-limit: no process more, and rm -f ends them all", async () => {
    const id = await engine.ok("run", "-d", "--network", "none", "--pids-limit", "40", image, "probe", "forks", "200");
    await waitFor("the limit to be met", () => /max [1-9]/.test(file(id, "pids/pids.events", "pids.events")));
    expect(file(id, "pids/pids.current", "pids.current")).toBe("40");
    await engine.ok("rm", "-f", id);
    expect(cgroupsBelow(parent).filter((path) => path.includes(id))).toEqual([]);
  });

  test("pause: the cgroup is frozen, and rm -f of a paused container works", async () => {
    await limited([], async (id) => {
      await engine.ok("pause", id);
      expect(file(id, "freezer/freezer.state", "cgroup.freeze")).toMatch(/^(FROZEN|1)$/);
      await engine.ok("unpause", id);
      expect(file(id, "freezer/freezer.state", "cgroup.freeze")).toMatch(/^(THAWED|0)$/);
      await engine.ok("pause", id);
    });
  });

  test.if(!isDocker())("a container sees its own cgroup read-only, and only its own", async () => {
    await limited([], async (id) => {
      const mounts = (await engine.ok("exec", id, "probe", "mounts"))
        .split("\n")
        .filter((line) => / - cgroup2? /.test(line));
      expect(mounts.length).toBeGreaterThan(0);
      for (const line of mounts) {
        const [, , , root = "", , options = ""] = line.split(" ");
        expect(options.split(",")).toContain("ro");
        expect(root === "/" ? cgroupLayout().mode : root).toMatch(new RegExp(`^(v2|.*/${id})$`));
      }
    });
  });

  test("block I/O: bps and iops of a device, in the kernel's files", async () => {
    if (!needs("cgroup-v1")) return;
    const [, , , name = ""] = kernelFile("/proc/partitions").split("\n")[2]?.trim().split(/\s+/) ?? [];
    const device = `/dev/${name}`;
    const flags = ["read-bps", "write-bps", "read-iops", "write-iops"].flatMap((kind, at) => [
      `--device-${kind}`,
      `${device}:${at < 2 ? `${at + 1}mb` : 100 + at}`,
    ]);
    await limited(flags, (id) => {
      const of = (kind: string) => file(id, `blkio/blkio.throttle.${kind}_device`, "io.max").split(" ")[1];
      expect(["read_bps", "write_bps", "read_iops", "write_iops"].map(of)).toEqual([
        "1048576",
        "2097152",
        "102",
        "103",
      ]);
    });
    expect(await engine.fails(125, "run", "--rm", "--device-read-bps", "/dev/null:1mb", image, "true")).toContain(
      "/dev/null is no block device",
    );
    expect(await engine.fails(125, "run", "--rm", "--device-read-bps", "/dev/nosuch:1mb", image, "true")).toContain(
      "/dev/nosuch: no such file or directory",
    );
  });

  test("memory: swappiness and the OOM killer; CPU: period, quota and real time", async () => {
    if (!needs("cgroup-v1")) return;
    const flags = ["-m", "32m", "--memory-swappiness", "7", "--oom-kill-disable", "--cpu-period", "50000"];
    await limited([...flags, "--cpu-quota", "20000"], async (id) => {
      expect(file(id, "memory/memory.swappiness", "")).toBe("7");
      expect(file(id, "memory/memory.oom_control", "")).toContain("oom_kill_disable 1");
      expect(file(id, "cpu/cpu.cfs_period_us", "")).toBe("50000");
      expect(file(id, "cpu/cpu.cfs_quota_us", "")).toBe("20000");
      expect(
        await engine.ok("inspect", "-f", "{{.HostConfig.MemorySwappiness}} {{.HostConfig.OomKillDisable}}", id),
      ).toBe("7 true");
    });
    // The parent's share of real time is 0 unless somebody gave it some: then the kernel refuses, and that is told.
    const { status, stderr } = await engine.ctr(
      "run",
      "--rm",
      "--cpu-rt-runtime",
      "1000",
      "--network",
      "none",
      image,
      "true",
    );
    expect(status === 0 || /CPU real-time runtime 1000: /.test(stderr)).toBe(true);
  });

  test("--device: a node of the host's, under another name, with as much access as was said", async () => {
    await limited(["--device", "/dev/zero:/dev/nought:r"], async (id) => {
      expect(await engine.ok("exec", id, "sh", "-c", "head -c 3 /dev/nought | od -An -tx1")).toBe(" 00 00 00");
      expect((await engine.ctr("exec", id, "sh", "-c", "ls -l /dev/nought")).stdout).toContain("1,   5");
    });
    // Not in the default list: nothing may be done without the flag.
    const name = ["fuse", "loop-control", "autofs"].find((device) => existsSync(`/dev/${device}`)) ?? "";
    const numbers = Bun.spawnSync(["stat", "-c", "0x%t 0x%T", `/dev/${name}`])
      .stdout.toString()
      .trim();
    const [major, minor] = numbers.split(" ").map(Number);
    const read = ["sh", "-c", `mknod /tmp/k c ${major} ${minor} && exec 3</tmp/k && echo open`];
    const run = (...flags: readonly string[]) =>
      engine.ctr("run", "--rm", "--network", "none", ...flags, image, ...read);
    expect((await run()).status).not.toBe(0);
    expect((await run("--device", `/dev/${name}`)).stdout).toBe("open\n");
    expect((await run("--device", `/dev/${name}:/dev/${name}:w`)).status).not.toBe(0);
    expect((await run("--device-cgroup-rule", `c ${major}:* r`)).stdout).toBe("open\n");
    expect(await engine.fails(125, "run", "--rm", "--device", "/dev/nosuch", image, "true")).toContain(
      'error gathering device information while adding custom device "/dev/nosuch": no such file or directory',
    );
    expect(await engine.fails(125, "run", "--rm", "--device", "/etc/passwd", image, "true")).toContain(
      "not a device node",
    );
  });

  test("--cgroup-parent and --cgroupns", async () => {
    if (isDocker()) return;
    await limited(["--cgroup-parent", `${parent}/group`], async (id) => {
      expect(cgroupsBelow(parent).some((path) => path.endsWith(`/group/${id}`))).toBe(true);
      expect(await engine.ok("inspect", "-f", "{{.HostConfig.CgroupParent}}", id)).toBe(`${parent}/group`);
    });
    // An empty parent stays, as with Docker: it may be the user's.
    for (const path of cgroupsBelow(parent)) if (path.endsWith(`${parent}/group`)) rmdirSync(path);
    await limited(["--cgroupns", "private"], async (id) => {
      expect(await engine.ok("exec", id, "sh", "-c", "grep -c ':/$' /proc/1/cgroup")).not.toBe("0");
      expect(await engine.ok("exec", id, "grep", "-c", id, "/proc/1/cgroup").catch(() => "0")).toBe("0");
      expect(await engine.ok("inspect", "-f", "{{.HostConfig.CgroupnsMode}}", id)).toBe("private");
    });
    await limited(["--cgroupns", "host"], async (id) => {
      expect(await engine.ok("exec", id, "grep", "-c", id, "/proc/1/cgroup")).not.toBe("0");
    });
    expect(await engine.fails(125, "run", "--cgroupns", "x", image, "true")).toContain(
      "--cgroupns: invalid CGROUP mode",
    );
  });

  test("limits that this machine cannot give are warned of by run and create, and left out", async () => {
    if (!needs("cgroup-v1") || kernelFile("/sys/fs/cgroup/blkio/blkio.bfq.weight") !== "") return;
    const words = "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.";
    const created = await engine.ctr("create", "--network", "none", "--blkio-weight", "300", image, "true");
    expect(created.stderr).toBe(`WARNING: ${words}\n`);
    expect(await engine.ok("inspect", "-f", "{{.HostConfig.BlkioWeight}}", created.stdout.trim())).toBe("0");
    await engine.ok("rm", created.stdout.trim());
    const ran = await engine.ctr("run", "--rm", "--network", "none", "--blkio-weight", "300", image, "true");
    expect(ran).toMatchObject({ stderr: `WARNING: ${words}\n`, status: 0 });
  });

  test("--ulimit: above what may be set, without CAP_SYS_RESOURCE, it is lowered and told", async () => {
    if (isDocker() || Bun.which("capsh") === null) return;
    const { stdout, stderr, status } = await lessPowerful(["--ulimit", "nofile=70000:70000"], "ulimit -n");
    expect({ stdout, status }).toEqual({ stdout: "4096\n", status: 0 });
    expect(stderr).toContain("Ulimit nofile=70000 cannot be given: without CAP_SYS_RESOURCE");
    expect(stderr).toContain("Limited to 4096.");
  });

  test("--ulimit holds for what exec starts, and is set when nothing of ours runs any more", async () => {
    // Less memory than an interpreter has mapped: were it set before execve, init would end of it.
    const flags = ["--ulimit", "nofile=77:88", "--ulimit", "as=50000000", "--ulimit", "cpu=5:6"];
    const id = await engine.ok("run", "-d", "--network", "none", ...flags, image, "probe", "pause");
    const limits = "ulimit -Sn; ulimit -Hn; ulimit -v; ulimit -St";
    expect(await engine.ok("exec", id, "sh", "-c", limits)).toBe("77\n88\n48828\n5");
    expect(await engine.ok("run", "--rm", "--network", "none", ...flags, image, "sh", "-c", limits)).toBe(
      "77\n88\n48828\n5",
    );
    await engine.ok("rm", "-f", id);
    // A program that is not there is told by an init that has the limits already.
    const missing = await engine.fails(127, "run", "--rm", "--network", "none", ...flags, image, "nosuch");
    expect(missing).toContain('exec: "nosuch": executable file not found in $PATH');
  });

  const REFUSED: readonly (readonly [string, readonly string[], string])[] = [
    ["-m 1k", ["-m", "1k"], "Minimum memory limit allowed is 6MB"],
    [
      "-m 64m --memory-swap 32m",
      ["-m", "64m", "--memory-swap", "32m"],
      "Minimum memoryswap limit should be larger than memory limit",
    ],
    [
      "--memory-swap without -m",
      ["--memory-swap", "64m"],
      "You should always set the Memory limit when using Memoryswap limit",
    ],
    ["--cpus 1000", ["--cpus", "1000"], "range of CPUs is from 0.01 to"],
    ["--cpuset-cpus x", ["--cpuset-cpus", "x"], "invalid value x for cpuset cpus"],
    ["--cpu-shares x", ["--cpu-shares", "x"], 'invalid argument "x" for "-c, --cpu-shares" flag'],
  ];
  test.each(REFUSED)("%s is refused in Docker's words", async (_, flags, words) => {
    const stderr = await engine.fails(125, "run", "--rm", "--network", "none", ...flags, image, "true");
    // Engines before 25 began with a capital.
    expect(stderr.toLowerCase()).toContain(words.toLowerCase());
  });
});
