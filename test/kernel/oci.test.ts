/** `ctr oci` as its callers use it: runc's command line, its states, its words, its exit codes. */
import { expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { kernelFile, processes } from "../lib/host.ts";
import { binary, needs } from "../lib/needs.ts";
import { type Config, tempOciRuntime } from "../lib/oci-runtime.ts";
import { openSession } from "../lib/terminal.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const runtime = tempOciRuntime();
const { oci, ociWith, ok, bundle, state } = runtime;

const sleeper = (change?: (config: Config) => void) => bundle(["sleep", "1000"], change);

async function withContainer(id: string, body: () => Promise<void>, change?: (config: Config) => void): Promise<void> {
  await ok("run", "--detach", "--bundle", sleeper(change), id);
  await body();
  await ok("delete", "--force", id);
}

test("a container is created, started, killed and deleted, and its state says so", async () => {
  const directory = sleeper((config) => {
    config["annotations"] = { "org.example": "yes" };
  });
  const pidFile = `${runtime.home}/pid`;
  await ok("create", "--bundle", directory, "--pid-file", pidFile, "life");
  const created = JSON.parse(await ok("state", "life"));
  expect(created).toMatchObject({
    ociVersion: "1.3.0",
    id: "life",
    status: "created",
    bundle: directory,
    annotations: { "org.example": "yes" },
    owner: "root",
  });
  expect(readFileSync(pidFile, "utf8")).toBe(String(created.pid));
  // Nobody of ours stays behind: its parent is whoever inherits orphans.
  const init = processes().find(({ pid }) => pid === created.pid);
  expect(init?.parent).not.toBe(process.pid);
  expect(processes().filter(({ command }) => command.includes("ctr-oci"))).toEqual([]);
  expect(await oci("create", "--bundle", directory, "life")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("container with given ID already exists"),
  });

  await ok("start", "life");
  expect(await state("life")).toMatchObject({ status: "running", pid: created.pid });
  expect(kernelFile(`/proc/${created.pid}/cmdline`)).toBe("sleep\0" + "1000\0");
  expect(await oci("start", "life")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("cannot start an already running container"),
  });
  expect(await oci("delete", "life")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("cannot delete container life that is not stopped: running"),
  });

  await ok("kill", "life", "KILL");
  await waitFor("the container to stop", async () => (await state("life")).status === "stopped");
  expect((await state("life")).pid).toBe(0);
  expect(await oci("kill", "life", "TERM")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("container not running"),
  });
  expect(await oci("start", "life")).toMatchObject({
    stderr: expect.stringContaining("cannot start a container that has stopped"),
  });
  await ok("delete", "life");
  for (const command of ["state", "kill", "delete", "start", "pause", "ps"]) {
    expect(await oci(command, "life")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("container does not exist"),
    });
  }
  await ok("delete", "--force", "life");
  expect(readdirSync(runtime.root)).toEqual([]);
});

test("--no-pivot: the root is the container's all the same, and so are its mounts", async () => {
  const program = "stat -c %d / /.. | uniq | wc -l; cut -d' ' -f5 /proc/self/mountinfo | head -1; ls /; ls / | wc -l";
  const bundled = bundle(["sh", "-c", program]);
  const pivoted = await ok("run", "--bundle", bundled, "pivoted");
  expect(pivoted).toMatch(/^1\n\/\n/);
  expect(await ok("run", "--no-pivot", "--bundle", bundled, "moved")).toBe(pivoted);
  // It can be looked after as any other.
  await ok("run", "--no-pivot", "--detach", "--bundle", sleeper(), "moved");
  expect(await oci("exec", "moved", "sh", "-c", "cd ../..; pwd; exit 3")).toMatchObject({ status: 3, stdout: "/\n" });
  await ok("delete", "--force", "moved");
});

test("a created container holds at most 8 MB that are its own, and no descriptor of anybody else", async () => {
  await ok("create", "--bundle", sleeper(), "waiting");
  const { pid } = await state("waiting");
  const anonymousKb = Number(/^Anonymous:\s+(\d+)/m.exec(kernelFile(`/proc/${pid}/smaps_rollup`))?.[1]);
  expect(anonymousKb).toBeGreaterThan(0);
  expect(anonymousKb).toBeLessThan(8 * 1024);
  await ok("delete", "waiting");
});

test("run: the program's streams, signals and status are the caller's", async () => {
  const directory = bundle(["sh", "-c", "cat; echo problem >&2; exit 7"]);
  expect(await ociWith({ stdin: "typed\n" }, "run", "--bundle", directory, "front")).toEqual({
    status: 7,
    stdout: "typed\n",
    stderr: "problem\n",
  });
  expect(existsSync(`${runtime.root}/front`)).toBe(false);

  const trapping = bundle(["sh", "-c", 'trap "exit 9" TERM; echo ready; while :; do sleep 0.01; done']);
  const child = Bun.spawn([runtime.path, "--root", runtime.root, "run", "--bundle", trapping, "trap"], {
    stdout: "pipe",
  });
  await child.stdout.getReader().read();
  child.kill("SIGTERM");
  expect(await child.exited).toBe(9);

  await ok("run", "--keep", "--bundle", bundle(["true"]), "kept");
  expect((await state("kept")).status).toBe("stopped");
  await ok("delete", "kept");
});

test("a program that cannot be run is told at create, with nothing left", async () => {
  for (const [program, words] of [
    ["nope", 'exec: "nope": executable file not found in $PATH'],
    ["/nope", 'exec: "/nope": no such file or directory'],
    ["/etc/passwd", 'exec: "/etc/passwd": permission denied'],
  ] as const) {
    const directory = bundle([program]);
    for (const command of ["create", "run"]) {
      const result = await oci(command, "--bundle", directory, "cannot");
      expect(result.status).toBe(1);
      expect(JSON.parse(/msg=(".*")/.exec(result.stderr)?.[1] ?? '""')).toContain(words);
    }
  }
  expect(readdirSync(runtime.root)).toEqual([]);
});

test("the log is what containerd parses, and standard error has the sentence", async () => {
  const log = `${runtime.home}/log.json`;
  const result = await oci("--log", log, "--log-format", "json", "state", "nobody");
  expect(result).toEqual({ status: 1, stdout: "", stderr: "container does not exist\n" });
  const line = JSON.parse(readFileSync(log, "utf8"));
  expect(line).toEqual({ level: "error", msg: "container does not exist", time: expect.any(String) });
  expect(Number.isNaN(Date.parse(line.time))).toBe(false);
  expect((await oci("--log-format", "xml", "list")).stderr).toContain("invalid log-format: xml");
});

test("usage: what is wrong with a command line is named", async () => {
  expect(await oci("bogus")).toMatchObject({ status: 3, stderr: expect.stringContaining("No help topic for 'bogus'") });
  expect(await oci("state", "--bogus", "x")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("flag provided but not defined: -bogus"),
  });
  expect((await oci("kill")).stderr).toContain('\\"kill\\" requires a minimum of 1 argument(s)');
  expect((await oci("create")).stderr).toMatch(/msg="ctr oci: ..create.. requires exactly 1 argument.s."/);
  expect(await oci("exec", "--bogus")).toMatchObject({ status: 1 });
  expect(await oci("exec")).toMatchObject({ status: 1 });
  expect(await oci("help", "bogus")).toMatchObject({ status: 3 });
  expect((await oci("create", "--bundle", "/no/such/place", "x")).stderr).toContain(
    "chdir /no/such/place: no such file",
  );
  expect((await oci("state", "../etc")).stderr).toContain("invalid container ID format");
  expect((await oci("--help")).stdout).toContain("checkpoint");
  expect((await oci("exec", "-h")).stdout).toContain("--ignore-paused");
  expect((await oci("--version")).stdout).toMatch(/^ctr-oci version .*\ncommit: .*\nspec: 1\.3\.0\n$/);
  for (const command of ["checkpoint", "restore"])
    expect((await oci(command, "x")).stderr).toContain(`${command} is not supported`);
  // The long name is the same command line.
  const long = Bun.spawnSync([binary(), "oci", "--root", runtime.root, "state", "nobody"]);
  expect(long.exitCode).toBe(1);
  expect(long.stderr.toString()).toContain("container does not exist");
});

test("a configuration that is none is refused, naming the field", async () => {
  const directory = sleeper();
  const config = JSON.parse(readFileSync(`${directory}/config.json`, "utf8"));
  const refused = async (text: string): Promise<string> => {
    writeFileSync(`${directory}/config.json`, text);
    const result = await oci("create", "--bundle", directory, "bad");
    expect(result.status).toBe(1);
    return result.stderr;
  };
  expect(await refused("{")).toContain("config.json: ");
  expect(await refused(JSON.stringify({ ...config, process: { ...config.process, args: "sh" } }))).toContain(
    "process.args: must be a list",
  );
  // By then its init has been born.
  const sysctl = { "kernel.panic": "1" };
  expect(await refused(JSON.stringify({ ...config, linux: { ...config.linux, sysctl } }))).toContain("kernel.panic");
  expect(processes().filter(({ command, state }) => command.startsWith("ctr init") && state !== "Z")).toEqual([]);
  expect(existsSync(`/sys/fs/cgroup/memory${config.linux.cgroupsPath}`)).toBe(false);
  expect(readdirSync(runtime.root)).toEqual([]);
  expect((await oci("create", "--bundle", runtime.home, "bad")).stderr).toContain(
    "JSON specification file config.json not found",
  );
  writeFileSync(`${directory}/config.json`, JSON.stringify({ ...config, unknown: { field: 1 } }));
  await ok("create", "--bundle", directory, "unknown");
  await ok("delete", "unknown");
  expect(readdirSync(runtime.root)).toEqual([]);
});

test("exec: from the command line, from a file, detached, paused", async () => {
  await withContainer("exec", async () => {
    const inside = async (...words: readonly string[]) => await oci("exec", ...words);
    expect(await inside("exec", "sh", "-c", "echo out; echo err >&2; exit 5")).toEqual({
      status: 5,
      stdout: "out\n",
      stderr: "err\n",
    });
    const flags = ["-u", "1000:100", "-g", "7", "-e", "A=b", "--cwd", "/tmp", "--cap", "net_admin", "--no-new-privs"];
    const { stdout } = await inside(
      ...flags,
      "exec",
      "sh",
      "-c",
      "id -u; id -g; id -G; echo $A; pwd; grep -E 'NoNewPrivs|CapBnd' /proc/self/status; echo again >> /dev/stdout",
    );
    expect(stdout.split("\n").map((line) => line.replace(/\s+/g, " "))).toEqual([
      "1000",
      "100",
      "100 7",
      "b",
      "/tmp",
      "CapBnd: 0000000020001420",
      "NoNewPrivs: 1",
      "again",
      "",
    ]);
    expect(await inside("exec", "nope")).toMatchObject({
      status: 255,
      stderr: expect.stringContaining("executable file not found in $PATH"),
    });
    expect((await inside("exec")).stderr).toContain("process args cannot be empty");

    const file = `${runtime.home}/process.json`;
    const limit = { type: "RLIMIT_NOFILE", soft: 77, hard: 88 };
    const asked = {
      args: ["sh", "-c", "ulimit -n; cat /proc/self/oom_score_adj; env"],
      cwd: "/",
      user: { uid: 0, gid: 0 },
    };
    writeFileSync(file, JSON.stringify({ ...asked, env: ["PATH=/bin", "X=1"], rlimits: [limit], oomScoreAdj: 500 }));
    const fromFile = await inside("--process", file, "exec");
    expect(fromFile.stdout.split("\n")).toEqual(expect.arrayContaining(["77", "500", "X=1", "PATH=/bin"]));

    const pidFile = `${runtime.home}/exec-pid`;
    expect((await inside("--detach", "--pid-file", pidFile, "exec", "sleep", "500")).status).toBe(0);
    const pid = Number(readFileSync(pidFile, "utf8"));
    expect(JSON.parse(await ok("ps", "--format", "json", "exec"))).toContain(pid);
    expect(await ok("ps", "exec", "-o", "pid,comm")).toMatch(new RegExp(`PID COMMAND\\n(.*\\n)*\\s*${pid} sleep\\n`));
    expect(readlinkSync(`/proc/${pid}/ns/mnt`)).toBe(readlinkSync(`/proc/${(await state("exec")).pid}/ns/mnt`));

    await ok("pause", "exec");
    expect((await state("exec")).status).toBe("paused");
    expect((await inside("exec", "true")).stderr).toContain("cannot exec in a paused container");
    await ok("resume", "exec");
    expect((await oci("resume", "exec")).stderr).toContain("container not paused");
    expect((await inside("exec", "true")).status).toBe(0);
  });
});

test.if(needs("cgroup-v1"))("exec --cgroup: below the container's cgroup, in all hierarchies or in some", async () => {
  await withContainer("below", async () => {
    const parent = (await state("below")).pid;
    const places = readFileSync(`/proc/${parent}/cgroup`, "utf8");
    const own = (controller: string) => new RegExp(`:${controller}:(\\S+)`).exec(places)?.[1] ?? "";
    const directories = ["memory", "pids", "freezer"].map((name) => `/sys/fs/cgroup/${name}${own(name)}/inner`);
    for (const directory of directories) mkdirSync(directory);
    const seen = async (...words: readonly string[]) => {
      const { stdout, stderr, status } = await oci("exec", ...words, "below", "cat", "/proc/self/cgroup");
      if (status !== 0) return stderr;
      return ["memory", "pids", "freezer"].filter((name) => new RegExp(`:${name}:\\S*/inner\n`).test(stdout)).join();
    };
    expect(await seen()).toBe("");
    expect(await seen("--cgroup", "memory:inner")).toBe("memory");
    expect(await seen("--cgroup", "memory,pids:/inner", "--cgroup", "freezer:inner")).toBe("memory,pids,freezer");
    expect(await seen("--cgroup", "memory:inner", "--cgroup", "memory:other")).toContain("specified multiple times");
    expect(await seen("--cgroup", "inner", "--cgroup", "memory:inner")).toContain("missing <controller>: prefix");
    expect(await seen("--cgroup", "a:b:c")).toContain("invalid --cgroup argument: a:b:c");
    expect(await seen("--cgroup", "nothing:inner")).toContain("no hierarchy of the cgroup has a controller nothing");
    // Not there in every hierarchy.
    expect(await seen("--cgroup", "inner")).toContain("no such file or directory");
  });
});

test("exec: in the container's time, and with its memory policy", async () => {
  await withContainer(
    "timed",
    async () => {
      const { pid } = await state("timed");
      const command = "readlink /proc/self/ns/time; cut -d. -f1 /proc/uptime; head -1 /proc/self/numa_maps";
      const { stdout } = await oci("exec", "timed", "sh", "-c", command);
      const [namespace, uptime, memory] = stdout.split("\n");
      expect(namespace).toBe(readlinkSync(`/proc/${pid}/ns/time`));
      expect(namespace).not.toBe(readlinkSync("/proc/self/ns/time"));
      expect(Number(uptime)).toBeGreaterThan(1_000_000);
      expect(memory).toContain(" bind:0 ");
    },
    (config) => {
      config.linux["namespaces"] = [...(config.linux["namespaces"] as readonly object[]), { type: "time" }];
      config.linux["timeOffsets"] = { boottime: { secs: 1_000_000 } };
      config.linux["memoryPolicy"] = { mode: "MPOL_BIND", nodes: "0" };
    },
  );
});

test("exec: the filter of the container holds, and is compiled once", async () => {
  const filter = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 13 }],
  };
  await withContainer(
    "filtered",
    async () => {
      for (const _ of [1, 2]) {
        const result = await oci("exec", "filtered", "mkdir", "/tmp/x");
        expect(result.stderr).toContain("Permission denied");
      }
      expect(existsSync(`${runtime.root}/filtered/seccomp.bpf`)).toBe(true);
    },
    (config) => {
      config.linux["seccomp"] = filter;
    },
  );
});

test("a terminal: of the caller's in the foreground, through the console socket detached", async () => {
  const terminal = bundle(["sh", "-c", "tty; stty size; read line; echo got $line; exit 4"], (config) => {
    config.process.terminal = true;
  });
  await using session = openSession([runtime.path, "--root", runtime.root, "run", "--bundle", terminal, "tty"], {
    columns: 91,
    rows: 33,
  });
  await session.expect(/\/dev\/pts\/0\s+33 91/);
  session.type("words\r");
  await session.expect("got words");
  expect(await session.exited).toBe(4);

  expect((await oci("create", "--bundle", terminal, "notty")).stderr).toContain(
    "cannot allocate tty if runc will detach without setting console socket",
  );
  const socket = `${runtime.home}/console.sock`;
  const receiver = Bun.spawn(["python3", "-c", RECEIVER, socket], { stdout: "pipe" });
  const lines = receiver.stdout.getReader();
  await lines.read();
  await ok("create", "--bundle", terminal, "--console-socket", socket, "socket");
  await ok("start", "socket");
  let output = "";
  while (!output.includes("got typed")) {
    const { value, done } = await lines.read();
    if (done) break;
    output += new TextDecoder().decode(value);
  }
  expect(output).toContain("/dev/ptmx");
  expect(output).toContain("got typed");
  await ok("delete", "--force", "socket");
  expect(await receiver.exited).toBe(0);
});

/** Takes a terminal by SCM_RIGHTS, as conmon and the shim do, types a line and shows what comes. */
const RECEIVER = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1]); s.listen(1)
print("ready", flush=True)
c, _ = s.accept()
name, fds, _, _ = socket.recv_fds(c, 4096, 1)
print(name.decode(), flush=True)
os.write(fds[0], b"typed\\n")
try:
    while True:
        data = os.read(fds[0], 4096)
        if not data: break
        os.write(1, data)
except OSError: pass
`;

test("preserved descriptors and those of socket activation are the program's, from 3 on", async () => {
  const script = "cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd | wc -l";
  const run = async (command: string, directory: string): Promise<string> => {
    const shell = `exec 3<<<three 4<<<four; "$0" --root "$1" ${command}`;
    const child = Bun.spawn(["bash", "-c", shell, runtime.path, runtime.root, directory], {
      stdout: "pipe",
      stderr: "inherit",
      env: { ...process.env, LISTEN_FDS: "1" },
    });
    return await new Response(child.stdout).text();
  };
  const directory = bundle(["sh", "-c", script]);
  const expected = "three\nfour\n1 1\n6\n";
  expect(await run(`run --preserve-fds 1 --bundle "$2" fds`, directory)).toBe(expected);
  // The same for one that is held, started by somebody who has none of them.
  const held = `create --preserve-fds 1 --bundle "$2" fds && "$0" --root "$1" start fds 3<&- 4<&-`;
  expect(await run(held, directory)).toBe(expected);
  await ok("delete", "--force", "fds");
  const missing = await oci("run", "--preserve-fds", "9", "--bundle", directory, "none");
  expect(missing.stderr).toContain("is present");
});

test("update: by flags and from a file, each as the kernel has it then", async () => {
  let cgroup = "";
  await withContainer(
    "update",
    async () => {
      await ok("update", "--memory", "64m", "--pids-limit", "55", "--cpu-share", "512", "update");
      const { data } = JSON.parse(await ok("events", "--stats", "update"));
      expect(data.memory.usage.limit).toBe(64 << 20);
      expect(data.pids).toEqual({ current: 1, limit: 55 });
      expect(data.cpu.usage.total).toBeGreaterThan(0);
      const file = JSON.stringify({ memory: { limit: 33554432, reservation: 0 }, pids: { limit: 66 } });
      expect((await ociWith({ stdin: file }, "update", "--resources", "-", "update")).status).toBe(0);
      const after = JSON.parse(await ok("events", "--stats", "update"));
      expect(after.data.memory.usage.limit).toBe(33554432);
      expect(after.data.pids.limit).toBe(66);
      expect((await oci("update", "--memory", "lots", "update")).stderr).toContain("invalid value for memory");
    },
    (config) => {
      cgroup = config.linux.cgroupsPath ?? "";
    },
  );
  expect(kernelFile(`/sys/fs/cgroup/memory${cgroup}/cgroup.procs`)).toBe("");
});

test("events: what it uses, as often as asked for, until it ends", async () => {
  await ok("run", "--detach", "--bundle", bundle(["sleep", "0.5"]), "events");
  const lines = (await ok("events", "--interval", "100ms", "events")).trim().split("\n");
  expect(lines.length).toBeGreaterThanOrEqual(2);
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ type: "stats", id: "events" });
  await ok("delete", "events");
});

test("list: table, JSON, ids", async () => {
  expect(await ok("list")).toBe("ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
  expect(await ok("list", "--format", "json")).toBe("null\n");
  await withContainer("listed", async () => {
    const [header = "", row = ""] = (await ok("list")).split("\n");
    const { pid } = await state("listed");
    expect(row.slice(header.indexOf("STATUS")).startsWith("running")).toBe(true);
    expect(row).toContain(String(pid));
    expect(await ok("list", "-q")).toBe("listed\n");
    expect(JSON.parse(await ok("list", "-f", "json"))).toMatchObject([{ id: "listed", status: "running", pid }]);
  });
});

test("two creates of one id: one wins", async () => {
  const directory = sleeper();
  const results = await Promise.all([1, 2, 3, 4].map(() => oci("create", "--bundle", directory, "race")));
  expect(results.map(({ status }) => status).sort()).toEqual([0, 1, 1, 1]);
  for (const { status, stderr } of results) if (status === 1) expect(stderr).toContain("already exists");
  expect((await state("race")).status).toBe("created");
  await ok("delete", "race");
});

test("spec and features: what is written is what is understood", async () => {
  const directory = bundle(["true"]);
  expect((await oci("spec", "--bundle", directory)).stderr).toContain("File config.json exists. Remove it first");
  const features = JSON.parse(await ok("features"));
  expect(features.ociVersionMax).toBe("1.3.0");
  expect(features.linux.namespaces).toContain("cgroup");
  expect(features.mountOptions).toEqual(expect.arrayContaining(["rbind", "rro", "nosymfollow", "rprivate"]));
});

/** Hooks that write down when they ran, in which mount namespace and root, and what they were told. */
function tracingHooks(log: string, failing = ""): { readonly [kind: string]: readonly object[] } {
  const hook = (kind: string, shell: string) => ({
    path: shell,
    args: [
      "sh",
      "-c",
      `echo "${kind} $(readlink /proc/self/ns/mnt) $A $(cat)" >> ${log}; [ "${kind}" != "${failing}" ]`,
    ],
    env: ["A=b", "PATH=/bin:/usr/bin"],
    timeout: 10,
  });
  const kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
  return Object.fromEntries(kinds.map((kind) => [kind, [hook(kind, "/bin/sh")]]));
}

test("hooks: each at its point, in its namespaces, with the state on standard input", async () => {
  const log = `${runtime.home}/hooks.log`;
  const directory = sleeper((config) => {
    config["hooks"] = tracingHooks(log);
    config["annotations"] = { x: "y" };
    // So that the one which runs inside finds the file too.
    config["mounts"] = [
      ...(config["mounts"] as readonly object[]),
      { destination: runtime.home, type: "bind", source: runtime.home, options: ["rbind"] },
    ];
  });
  const ran = () => {
    const lines = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
    return lines.map((line) => {
      const [, kind = "", mnt = "", value = "", state = ""] = /^(\w+) (\S+) (\w+) (.*)$/.exec(line) ?? [];
      return { kind, mnt, value, state: JSON.parse(state) };
    });
  };
  await ok("create", "--bundle", directory, "hooked");
  const { pid } = await state("hooked");
  expect(ran().map(({ kind }) => kind)).toEqual(["prestart", "createRuntime", "createContainer"]);
  await ok("start", "hooked");
  expect(
    ran()
      .map(({ kind }) => kind)
      .slice(3),
  ).toEqual(["startContainer", "poststart"]);
  const inside = readlinkSync(`/proc/${pid}/ns/mnt`);
  await ok("delete", "--force", "hooked");
  const all = ran();
  expect(all.at(-1)?.kind).toBe("poststop");
  const outside = readlinkSync("/proc/self/ns/mnt");
  expect(all.map(({ mnt }) => mnt)).toEqual([outside, outside, inside, inside, outside, outside]);
  const told = { ociVersion: "1.3.0", id: "hooked", bundle: directory, annotations: { x: "y" } };
  const states = ["creating", "creating", "creating", "created", "running", "stopped"];
  expect(all.map(({ state }) => state)).toEqual(
    states.map((status, at) => ({ ...told, status, pid: [pid, pid, 1, 1, pid, 0][at] })),
  );
  expect(all.every(({ value }) => value === "b")).toBe(true);
});

test("hooks: one that fails ends the start, but for those after it, of which the log tells", async () => {
  for (const kind of ["prestart", "createRuntime", "createContainer", "startContainer"]) {
    const log = `${runtime.home}/failing-${kind}.log`;
    const directory = sleeper((config) => {
      const hooks = tracingHooks(log, kind);
      config["hooks"] = { [kind]: hooks[kind], poststop: hooks["poststop"] };
      config["mounts"] = [
        ...(config["mounts"] as readonly object[]),
        { destination: runtime.home, type: "bind", source: runtime.home, options: ["rbind"] },
      ];
    });
    const result = await oci("run", "--bundle", directory, "failing");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`error running ${kind} hook #0: /bin/sh: exit status 1`);
    expect(readFileSync(log, "utf8")).toContain("poststop");
  }
  const slow = sleeper((config) => {
    config["hooks"] = { createRuntime: [{ path: "/bin/sleep", args: ["sleep", "100"], timeout: 1 }] };
  });
  expect((await oci("create", "--bundle", slow, "slow")).stderr).toContain("timed out after 1 s");
  const late = sleeper((config) => {
    config["hooks"] = { poststart: [{ path: "/bin/false" }], poststop: [{ path: "/nope" }] };
  });
  const result = await oci("run", "--bundle", late, "late");
  expect(result.status).toBe(1);
  expect(result.stderr).toMatch(/level=warning msg="error running poststop hook #0: /);
  expect(result.stderr).toContain("error running poststart hook #0: /bin/false: exit status 1");
  await ok("create", "--bundle", late, "late");
  expect((await oci("start", "late")).stderr).toContain("error running poststart hook #0: /bin/false");
  expect((await state("late")).status).toBe("stopped");
  await ok("delete", "late");
  expect(readdirSync(runtime.root)).toEqual([]);
});

test("exec: a program that is #!/proc/self/exe does not get hold of this executable on disk", async () => {
  await withContainer("escape", async () => {
    const rootfs = JSON.parse(await ok("state", "escape")).rootfs;
    writeFileSync(`${rootfs}/bin/again`, "#!/proc/self/exe --version\n", { mode: 0o755 });
    // What starts it is csrc/joiner.c in a sealed memory file, which does nothing for anybody else.
    expect(await oci("exec", "escape", "/bin/again")).toMatchObject({ status: 127, stdout: "", stderr: "" });
    writeFileSync(`${rootfs}/bin/again`, "#!/proc/self/exe 0\n", { mode: 0o755 });
    expect(await oci("exec", "escape", "/bin/again")).toMatchObject({ status: 127, stdout: "", stderr: "" });
  });
});
