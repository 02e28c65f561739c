/** Namespaces that are shared with the host or another container, and what is set in those of one's own. */
import { describe, expect } from "bun:test";
import { readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const run = (...words: readonly string[]) => engine.ok("run", "--rm", "--network", "none", ...words);
const detached = (...words: readonly string[]) => engine.ok("run", "-d", "--network", "none", ...words);
const own = (kind: string) => readlinkSync(`/proc/self/ns/${kind}`);
const inspect = (id: string, field: string) => engine.ok("inspect", "-f", `{{${field}}}`, id);

describe("of the host", () => {
  for (const kind of ["pid", "ipc", "uts"] as const) {
    test(`--${kind} host`, async () => {
      expect(await run(`--${kind}`, "host", image, "readlink", `/proc/self/ns/${kind}`)).toBe(own(kind));
      expect(await run(image, "readlink", `/proc/self/ns/${kind}`)).not.toBe(own(kind));
    });
  }

  test("--pid host shows the host's processes, and what is left of a container ends with its first process", async () => {
    expect(await run("--pid", "host", image, "sh", "-c", `test -e /proc/${process.pid} && echo seen`)).toBe("seen");
    const id = await detached("--pid", "host", image, "sh", "-c", "sleep 4321 & echo started; exec sleep 4321");
    await waitFor("the child", async () => (await engine.ok("logs", id)) === "started");
    await engine.ok("kill", id);
    await engine.ok("wait", id);
    expect(await run("--pid", "host", image, "sh", "-c", "pgrep -f 'sleep 4321$' || echo none")).toBe("none");
    await engine.ok("rm", id);
  });

  test("--ipc host has the host's /dev/shm; --uts host its name", async () => {
    const name = `/dev/shm/ctr-${process.pid}`;
    writeFileSync(name, "shared");
    try {
      expect(await run("--ipc", "host", image, "cat", name)).toBe("shared");
    } finally {
      rmSync(name);
    }
    const { stdout } = Bun.spawnSync(["hostname"]);
    expect(await run("--uts", "host", image, "hostname")).toBe(stdout.toString().trim());
  });
});

describe("of a container", () => {
  test("--pid container: its processes are there, and its end is theirs", async () => {
    const donor = await detached("--name", "pid-donor", image, "sleep", "4322");
    const guest = await detached("--pid", "container:pid-donor", image, "sleep", "4323");
    expect(await inspect(guest, ".HostConfig.PidMode")).toBe(`container:${donor}`);
    expect(await engine.ok("exec", guest, "cat", "/proc/1/cmdline")).toBe("sleep\x004322\x00");
    await engine.ok("kill", donor);
    expect(await engine.ok("wait", guest)).toBe("137");
    expect(await engine.fails(1, "start", guest)).toContain("non running container");
    await engine.ok("rm", donor, guest);
  });

  test("--ipc container: the same namespace and /dev/shm, if the donor is shareable", async () => {
    const donor = await detached("--ipc", "shareable", image, "sh", "-c", "echo kept > /dev/shm/x; exec sleep 1000");
    await waitFor("the file", async () => (await engine.ctr("exec", donor, "test", "-e", "/dev/shm/x")).status === 0);
    const namespace = await engine.ok("exec", donor, "readlink", "/proc/self/ns/ipc");
    const seen = await run(
      "--ipc",
      `container:${donor}`,
      image,
      "sh",
      "-c",
      "readlink /proc/self/ns/ipc; cat /dev/shm/x",
    );
    expect(seen).toBe(`${namespace}\nkept`);
    const closed = await detached(image, "sleep", "1000");
    expect(await engine.fails(125, "run", "--rm", "--ipc", `container:${closed}`, image, "true")).toContain(
      "non-shareable IPC",
    );
    await engine.ok("rm", "-f", donor, closed);
  });

  test("--ipc none has no /dev/shm", async () => {
    expect(await run("--ipc", "none", image, "sh", "-c", "test -e /dev/shm || echo none")).toBe("none");
    expect(await run("--ipc", "none", image, "readlink", "/proc/self/ns/ipc")).not.toBe(own("ipc"));
  });
});

describe("settings", () => {
  test("--sysctl of a namespace of its own, which the host does not see", async () => {
    const before = await Bun.file("/proc/sys/kernel/msgmax").text();
    const flags = ["--sysctl", "kernel.msgmax=4242", "--sysctl", "net.ipv4.ip_forward=1"];
    const read = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward";
    expect(await run(...flags, image, "sh", "-c", read)).toBe("4242\n1");
    expect(await Bun.file("/proc/sys/kernel/msgmax").text()).toBe(before);
  });

  test("--oom-score-adj, --annotation, --userns host, --disable-content-trust and our own runtime are taken", async () => {
    expect(await run("--oom-score-adj", "300", image, "cat", "/proc/self/oom_score_adj")).toBe("300");
    const flags = ["--annotation", "com.example.a=b", "--userns", "host", "--disable-content-trust=false"];
    const id = await engine.ok("create", ...flags, ...(isDocker() ? [] : ["--runtime", "ctr"]), image, "true");
    expect(await inspect(id, "json .HostConfig.Annotations")).toBe('{"com.example.a":"b"}');
    expect(await inspect(id, ".HostConfig.UsernsMode")).toBe("host");
    await engine.ok("rm", id);
  });

  for (const [flags, why] of [
    [["--sysctl", "kernel.panic=1"], /sysctl 'kernel.panic=1' is not allowed/],
    [["--sysctl", "net.ipv4.ip_forward=1", "--network", "host"], /not allowed in host network namespace/],
    [["--sysctl", "kernel.msgmax=1", "--ipc", "host"], /not allowed in host ipc namespace/],
    [["--ipc", "x"], /--ipc: invalid IPC mode/],
    [["--pid", "container:"], /--pid: invalid PID mode/],
    [["--pid", "container:nobody"], /No such container: nobody/],
    [["--uts", "private"], /--uts: invalid UTS mode/],
    [["--uts", "host", "-h", "x"], /conflicting options: hostname and the UTS mode/],
    [["--oom-score-adj", "1001"], /range for oom score adj is \[-1000, 1000\]/],
    [["--runtime", "nobody"], /unknown or invalid runtime name: nobody/],
    [["--storage-opt", "size=1G"], /storage-opt/],
    ...(isDocker() ? [] : [[["--annotation", "ctr.seccomp="], /names that begin with ctr\. are ctr's/] as const]),
  ] as const) {
    test(`run ${flags.join(" ")} is refused`, async () => {
      expect(await engine.fails(125, "run", "--rm", ...flags, image, "true")).toMatch(why);
    });
  }
});
