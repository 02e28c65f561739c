/** Containers with user namespaces that attack: what they reach of the host, of each other, and of who joins them. */
import { expect } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { compileFixture, hostileImage } from "../lib/hostile-image.ts";
import { needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(needs("root", "ctr"));
const RACES = Number(process.env["CTR_RACES"] ?? 1);

const engine = tempEngine();
await compileFixture("attack.c", `${engine.scratch}/attack`, "-static");
const image = await hostileImage(engine, "evil", { files: "mkdir -p bin && cp ../../attack bin/attack" });

const REMAP = 200_000;
const AUTO = 1_000_000;
const SIZE = 65_536;
const ids = `${engine.scratch}/subuid`;
writeFileSync(ids, `ctr:${REMAP}:${SIZE}\ncontainers:${AUTO}:${4 * SIZE}\n`);
const env = { CTR_SUBUID: ids, CTR_SUBGID: ids };
const ctr = (...words: readonly string[]) => engine.ctrWith({ env }, ...words);
const ok = async (...words: readonly string[]): Promise<string> => {
  const result = await ctr(...words);
  if (result.status !== 0) throw new Error(`ctr ${words.join(" ")}: ${result.status}: ${result.stderr}`);
  return result.stdout.trimEnd();
};
const pidOf = async (name: string) => Number(await ok("inspect", "-f", "{{.State.Pid}}", name));
/** All that `--cap-add` and its like can give. */
const EVERYTHING = [
  ...["--cap-add", "ALL", "--security-opt", "seccomp=unconfined"],
  ...["--security-opt", "systempaths=unconfined"],
];
/** The attempts that succeed. */
const tries = (attempts: readonly string[]) =>
  `${attempts.map((line) => `(${line}) > /dev/null 2>&1 && echo '${line}'`).join("; ")}; true`;

/** Runs `program` as PID 1 of a container and waits until it says that it is ready. */
async function started(name: string, flags: readonly string[], ...program: readonly string[]): Promise<void> {
  await ok("run", "-d", "--name", name, "--network", "none", ...flags, image, ...program);
  await waitFor(name, async () => (await ctr("logs", name)).stdout.includes("ready"));
}

/** A program of the host's with the ids of a container's root, all capabilities there, and every process to be seen. */
function escaped(pid: number, script: string): string {
  const child = Bun.spawnSync(
    ["nsenter", "--target", String(pid), "--user", "--setuid", "0", "--setgid", "0", "--", "sh", "-c", script],
    { stderr: "ignore" },
  );
  return child.stdout.toString().trimEnd();
}

test("one that got out of its namespaces reaches nothing of the host and of other ranges; its own range's processes, not what they have", async () => {
  await ok("run", "-d", "--name", "out", "--userns=remap", ...EVERYTHING, image, "sleep", "1000");
  await ok("run", "-d", "--name", "same", "--userns=remap", image, "sleep", "1000");
  await ok("run", "-d", "--name", "other", "--userns=auto", image, "sleep", "1000");
  await ok("run", "-d", "--name", "plain", image, "sleep", "1000");
  const pid = await pidOf("out");
  expect(escaped(pid, "id -u; grep CapEff /proc/self/status")).toMatch(/^0\nCapEff:\t[0-9a-f]*[1-9a-f][0-9a-f]*$/);
  for (const name of ["same", "other", "plain"]) {
    const target = await pidOf(name);
    const supervisor = Number(/\d+/.exec(readFileSync(`/proc/${target}/stat`, "utf8").split(") ")[1] ?? "")?.[0]);
    for (const of of [target, supervisor]) {
      const at = `/proc/${of}`;
      const attempts = [
        ...[`cat ${at}/environ`, `cat ${at}/maps`, `ls ${at}/fd`, `ls ${at}/root/`, `ls ${at}/cwd/`],
        ...["user", "mnt", "net", "pid", "ipc"].map((kind) => `nsenter --${kind}=${at}/ns/${kind} true`),
        ...[`head -c 1 ${at}/mem`, `echo 1 > ${at}/oom_score_adj`, `prlimit --pid ${of} --nofile=10:10`],
        `kill -0 ${of}`,
      ];
      const ofItsUser = [
        `ls ${at}/fd`,
        `echo 1 > ${at}/oom_score_adj`,
        `prlimit --pid ${of} --nofile=10:10`,
        `kill -0 ${of}`,
      ];
      // Of its own range it is the same user: docs/security.md, "Not closed by it".
      expect(escaped(pid, tries(attempts))).toBe(name === "same" && of === target ? ofItsUser.join("\n") : "");
    }
  }
  const store = [`ls ${engine.root}`, `ls ${engine.root}/layers`, `cat ${engine.root}/ctr.db`, `ls ${engine.state}/`];
  expect(
    escaped(pid, tries([...store, "cat /etc/shadow", "mount -t tmpfs x /tmp", "dmesg", "ip link add x type veth"])),
  ).toBe(
    // The state directory may be passed, as Docker's, and has names only.
    existsSync(`${engine.state}/names`) && (statSync(engine.state).mode & 0o004) !== 0 ? `ls ${engine.state}/` : "",
  );
  await ok("rm", "-f", "out", "same", "other", "plain");
});

test("exec --privileged, and every capability: the kernel's file systems and namespaces are the container's own", async () => {
  await ok("run", "-d", "--name", "ruler", "--userns=remap", ...EVERYTHING, image, "sleep", "1000");
  const types = ["devtmpfs", "debugfs", "securityfs", "tracefs", "bpf", "cgroup2", "ext4", "pstore", "efivarfs"];
  const attempts = [
    ...types.map((type) => `mount -t ${type} x /tmp`),
    ...["memory", "devices", "none,name=x"].map((options) => `mount -t cgroup -o ${options} x /tmp`),
    "mount -t ext4 /dev/vda /tmp",
    "mknod /tmp/kmsg c 1 11",
    "mknod /tmp/whiteout b 0 0",
    "echo 1 > /proc/sys/kernel/core_pattern",
    "echo 1 > /proc/sys/vm/drop_caches",
    "echo b > /proc/sysrq-trigger",
    "cat /proc/kcore",
    "cat /proc/1/root/../../../../../../etc/shadow | grep -v :",
    "echo 0 > /proc/self/loginuid && echo -1000 > /proc/self/oom_score_adj",
    "date -s 2001-01-01; test $(date +%Y) = 2001",
    "swapoff -a && swapon /bin/sh",
    "nice -n -20 true && chrt -f 99 true",
    "ulimit -n 99999999",
    "mount -o remount,bind,rw /sys/fs/cgroup/memory && mkdir /sys/fs/cgroup/memory/x",
    "mount -o remount,bind,rw /sys/fs/cgroup/devices && echo a > /sys/fs/cgroup/devices/devices.allow",
    "mount -o remount,bind,rw /sys && echo x > /sys/kernel/uevent_helper",
    "chown 0:0 /sys/kernel",
  ];
  const release = "attack release-agent | grep -v 'E[A-Z]*$\\|^clone: yes$\\|^remount: yes$'; true";
  expect(await ok("exec", "ruler", "sh", "-c", release)).toBe("");
  for (const flags of [[], ["--privileged"]]) {
    expect(await ok("exec", ...flags, "ruler", "sh", "-c", tries(attempts))).toBe("");
    expect(await ok("exec", ...flags, "ruler", "cat", "/proc/self/uid_map")).toMatch(/^ +0 +200000 +65536$/);
  }
  // It rules its own.
  expect(
    await ok("exec", "--privileged", "ruler", "sh", "-c", "mount -t tmpfs x /tmp && hostname mine && hostname"),
  ).toBe("mine");
  await ok("rm", "-f", "ruler");
});

test("set-id programs and file capabilities in shifted files: nobody on the host reaches them, a bind is its owner's risk", async () => {
  const leave =
    "cp /bin/attack /v/root && chown 0:0 /v/root && chmod 6755 /v/root && cp /bin/attack /root-own && chmod 4755 /root-own && ls -ln /v/root";
  expect(await ok("run", "--name", "leaver", "--userns=remap", "-v", "kept:/v", image, "sh", "-c", leave)).toMatch(
    /^-rwsr-sr-x .* 0 +0 /,
  );
  const volume = await ok("volume", "inspect", "-f", "{{.Mountpoint}}", "kept");
  const upper = `${engine.root}/containers/${await ok("inspect", "-f", "{{.Id}}", "leaver")}/upper`;
  const found = Bun.spawnSync(["find", upper, "-name", "root-own", "-perm", "-4000"]).stdout.toString().trim();
  // On the disk it is root's: what keeps others out are the directories above.
  for (const path of [`${volume}/root`, found]) {
    expect([statSync(path).uid, (statSync(path).mode & 0o4000) !== 0]).toEqual([0, true]);
    const asNobody = Bun.spawnSync([
      "setpriv",
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      "--",
      "sh",
      "-c",
      `exec ${path} x`,
    ]);
    expect([asNobody.exitCode === 0, asNobody.stdout.toString()]).toEqual([false, ""]);
    expect(asNobody.stderr.toString()).toContain("Permission denied");
  }
  // A program of a container's user that is root's in the volume: root there, nobody more.
  const use = ["--userns=auto", "-u", "1000", "-v", "kept:/v", "--security-opt", "no-new-privileges", image];
  expect(await ok("run", "--rm", ...use, "sh", "-c", "/v/root x; id -u")).toBe("1000");
  // A bind without idmap is the host's: the container's root is nobody there, and leaves its own id, set-id or not.
  const bind = `${engine.scratch}/open`;
  mkdirSync(bind);
  chmodSync(bind, 0o777);
  const words = ["--rm", "--userns=remap", "--cap-add", "ALL", "-v", `${bind}:/b`, image, "sh", "-c"];
  await ok("run", ...words, "cp /bin/attack /b/set && chmod 6755 /b/set; chown 0:0 /b /b/set; true");
  expect([statSync(`${bind}/set`).uid, statSync(`${bind}/set`).gid, statSync(bind).uid]).toEqual([REMAP, REMAP, 0]);
  await ok("rm", "leaver");
  await ok("volume", "rm", "kept");
});

test("auto: ids are free only when nobody has them; what their last owner left belongs to the next, and to nobody else", async () => {
  const shared = `${engine.scratch}/shared`;
  mkdirSync(shared);
  chmodSync(shared, 0o1777);
  const mount = ["-v", `${shared}:/s`];
  const leave = "echo mine > /s/first && chmod 600 /s/first; sleep 1000";
  await ok("run", "-d", "--name", "first", "--userns=auto", ...mount, image, "sh", "-c", leave);
  await ok(
    "run",
    "-d",
    "--name",
    "guest",
    "--userns=container:first",
    "--pid=container:first",
    ...mount,
    image,
    "sleep",
    "1000",
  );
  await waitFor(
    "the file",
    () => existsSync(`${shared}/first`) && (statSync(`${shared}/first`).mode & 0o777) === 0o600,
  );
  expect(statSync(`${shared}/first`).uid).toBe(AUTO);
  const steal = [
    "cat /s/first",
    "rm -f /s/first && test ! -e /s/first",
    "chown 0 /s/first",
    "ln /s/first /s/link",
    "mv /s/first /s/gone",
  ];
  const neighbour = ["run", "--rm", "--userns=auto", "--cap-add", "ALL", ...mount, image];
  expect(await ok(...neighbour, "sh", "-c", tries(steal))).toBe("");
  // Its process namespace ends with it, and so does everybody in it; stopped is not removed: the ids are still its.
  await ok("rm", "-f", "first");
  await waitFor("the guest's end", async () => (await ok("inspect", "-f", "{{.State.Status}}", "guest")) === "exited");
  expect(await ok(...neighbour, "cat", "/proc/self/uid_map")).toContain(` ${AUTO + SIZE} `);
  await ok("rm", "guest");
  expect(await ok(...neighbour, "sh", "-c", "cat /proc/self/uid_map /s/first")).toMatch(
    new RegExp(` ${AUTO} .*\nmine$`),
  );
  // No process of the freed ids is left, and nothing of theirs that one would find.
  const alive = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/uid_map`));
  expect(alive.filter((name) => statSync(`/proc/${name}`).uid >= AUTO)).toEqual([]);
});

test("links that a container leaves lead cp, commit and volumes nowhere else", async () => {
  const secret = `${engine.scratch}/secret`;
  writeFileSync(secret, "the host's\n", { mode: 0o600 });
  const make = [
    ...[
      "ln -s / /t/root",
      `ln -s ${secret} /t/secret`,
      "ln -s ../../../../../../.. /t/up",
      "ln -s /proc/self/root /t/magic",
    ],
    ...["ln -s /proc/1/fd /t/fds", "mkfifo /t/fifo", "ln -s fifo /t/pipe", "ln -s loop /t/loop"],
    "rm -rf /v/sub && ln -s / /v/sub",
  ];
  const script = `mkdir /t; ${make.join("; ")}; echo ready; sleep 1000`;
  await started("linker", ["--userns=remap", "-v", "linked:/v"], "sh", "-c", script);
  for (const state of ["running", "at rest"]) {
    for (const path of [
      `/t/root${secret}`,
      `/t/up${secret}`,
      "/t/secret/",
      `/t/magic${secret}`,
      "/t/fds/0",
      "/t/loop/x",
    ]) {
      const { status, stdout } = await ctr("cp", "-L", `linker:${path}`, "-");
      expect([path, status === 0 && stdout.includes("host's")]).toEqual([path, false]);
    }
    // Into it: the links lead within its own root.
    writeFileSync(`${engine.scratch}/new`, state);
    for (const [index, path] of ["/t/root/into", "/t/up/into", "/t/magic/into"].entries())
      await ctr("cp", `${engine.scratch}/new`, `linker:${path}-${index}`);
    expect(readdirSync("/").filter((name) => name.startsWith("into"))).toEqual([]);
    if (state === "running") await ok("stop", "-t", "0", "linker");
  }
  // A directory of a volume that is a link by now: not the host's root.
  const sub = ["--mount", "type=volume,src=linked,dst=/s,volume-subpath=sub", image, "ls", `/s${secret}`];
  for (const mode of ["remap", "host"])
    expect((await ctr("run", "--rm", `--userns=${mode}`, ...sub)).status).not.toBe(0);
  await ok("commit", "linker", "linked-image");
  const look = `cat /t/secret; readlink /t/root; ls /t/root${secret}; true`;
  expect(await ok("run", "--rm", "--userns=auto", "linked-image", "sh", "-c", look)).toBe("/");
  await ok("rm", "linker");
  await ok("rmi", "linked-image");
  await ok("volume", "rm", "linked");
});

test(
  "processes on their way into a container with a user namespace show nothing of the host, whatever may trace them",
  async () => {
    for (const [name, flags] of [
      ["watcher", []],
      ["tracer", EVERYTHING],
    ] as const) {
      await started(name, ["--userns=remap", ...flags], "attack", "watch");
      for (let round = 0; round < 20 * RACES; round++)
        await Promise.all([
          engine.ctrWith({ env, timeoutMs: 5000 }, "exec", name, "probe", "ids"),
          engine.ctrWith({ env, timeoutMs: 5000 }, "exec", "-u", "1000", name, "probe", "ids"),
        ]);
      const sharing = [
        "run",
        "--rm",
        "--network",
        "none",
        "--pid",
        `container:${name}`,
        "--userns",
        `container:${name}`,
        image,
      ];
      if (name === "watcher") for (let round = 0; round < 10 * RACES; round++) await ok(...sharing, "probe", "session");
      const seen = (await ok("logs", name)).split("\n").filter((line) => line !== "ready");
      await ok("rm", "-f", name);
      expect(seen).toContain("exe /bin/probe");
      // Not even the joiner: its memory belongs to the host's user namespace.
      const isOwn = (line: string) => /^(exe \/bin\/\w+|root \/|cwd \/|fd (pipe:|\/dev\/\S+|\/proc\S*))$/.test(line);
      expect(seen.filter((line) => !isOwn(line))).toEqual([]);
    }
  },
  60_000 * RACES,
);

test("who may not join: other ranges, the host's ids, privileged; what is refused has made nothing", async () => {
  await ok("run", "-d", "--name", "donor", "--userns=remap", "--ipc=shareable", image, "sleep", "1000");
  await ok("run", "-d", "--name", "bare", "--ipc=shareable", image, "sleep", "1000");
  const user = readlinkSync(`/proc/${await pidOf("donor")}/ns/user`);
  for (const kind of ["network", "pid", "ipc"]) {
    const join = (mode: readonly string[], whom: string) =>
      ctr("run", "--rm", ...mode, `--${kind}=container:${whom}`, image, "readlink", "/proc/self/ns/user");
    expect((await join([], "donor")).stdout.trim()).toBe(user);
    for (const mode of ["host", "auto"]) {
      const { status, stderr } = await join([`--userns=${mode}`], "donor");
      expect([mode, status, stderr.split("\n")[0]]).toEqual([
        mode,
        125,
        "ctr: cannot join namespaces of container donor: it has a user namespace of its own (use --userns=container:donor)",
      ]);
    }
    // The same ids are not enough of a reason for another namespace.
    expect((await join(["--userns=private"], "donor")).stdout.trim()).toBe(user);
    for (const mode of ["remap", "auto", "container:donor"])
      expect([mode, (await join([`--userns=${mode}`], "bare")).status]).toEqual([mode, 125]);
    expect((await join(["--privileged"], "donor")).stderr).toContain(
      "privileged mode is incompatible with user namespaces",
    );
  }
  expect((await ctr("run", "--rm", "--privileged", "--userns=container:donor", image, "true")).status).toBe(125);
  expect((await ok("ps", "-a", "--format", "{{.Names}}")).split("\n").toSorted()).toEqual(["bare", "donor"]);
  await ok("rm", "-f", "donor", "bare");
});
