/** What ctr's own long-lived processes may do: less than root may. */
import { expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { landlockVersion } from "../../internal/sys/landlock.ts";
import { tempEngine } from "../lib/engine.ts";
import { kernelFile, processes } from "../lib/host.ts";
import { isDocker } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(!isDocker());
const withLandlock = kernelTest.if(!isDocker() && landlockVersion() >= 2);
const engine = tempEngine();
const image = await engine.image("minimal");

const pidOf = (role: string): number =>
  processes().find(({ command, state }) => command.startsWith(`ctr ${role}`) && state !== "Z")?.pid ?? 0;

/** How many filters each thread of a process has (proc_pid_status(5), kernel 5.10). */
const filters = (pid: number): readonly number[] =>
  readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(/^Seccomp_filters:\t(\d+)$/m.exec(kernelFile(`/proc/${pid}/task/${thread}/status`))?.[1] ?? -1),
  );

const settled = (pid: number) => waitFor("the supervisor's filter", () => filters(pid).every((count) => count === 1));

test("netd and the supervisor of a default container have a filter on every thread; what they start works", async () => {
  await engine.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", image, "probe", "pause");
  const [netd, supervisor] = [pidOf("netd"), pidOf("supervisor")];
  expect(new Set(filters(netd))).toEqual(new Set([1]));
  await settled(supervisor);
  // Its program was started before, further ones have both; neither can tell.
  const count = "grep Seccomp_filters /proc/self/status";
  expect(await engine.ok("exec", "web", "sh", "-c", count)).toBe("Seccomp_filters:\t2");
  expect((await engine.ctr("exec", "web", "probe", "syscall", "250", "0")).stdout).toBe("errno 1\n");
  // Another network namespace, another veth pair, further rules: by the netd that is filtered.
  expect(await engine.ok("run", "--rm", "-p", "127.0.0.1::81", image, "hostname", "-i")).toMatch(/^172\./);
  // Another init, which mounts, by the supervisor that is filtered.
  await engine.ok("restart", "-t", "0", "web");
  expect(pidOf("supervisor")).toBe(supervisor);
  expect(await engine.ok("exec", "web", "cat", "/etc/hostname")).not.toBe("");
  await engine.ok("rm", "-f", "web");
  await waitFor("the supervisor's end", () => pidOf("supervisor") === 0);
});

withLandlock(
  "netd's domain and filter: its own directories and network settings may be written, nothing else; no process seen, no namespace made",
  async () => {
    const [root, state] = [`${engine.scratch}/root`, `${engine.scratch}/state`];
    for (const directory of [root, state]) mkdirSync(directory);
    const outside = Bun.spawn(["unshare", "--net", "sleep", "1000"]);
    try {
      await waitFor(
        "its namespace",
        () => readlinkSync(`/proc/${outside.pid}/ns/net`) !== readlinkSync("/proc/self/ns/net"),
      );
      const probe = `${import.meta.dir}/../lib/domain-probe.ts`;
      const ran = Bun.spawnSync([process.execPath, probe, probe, root, state, String(outside.pid)]);
      expect(ran.stderr.toString()).toBe("");
      const { version, signal, ...answers } = JSON.parse(ran.stdout.toString());
      expect(answers).toEqual({
        ...{ root: "ok", state: "ok", sysctl: "ok", null: "ok" },
        ...{
          etc: "errno 13",
          tmp: "errno 13",
          corePattern: "errno 13",
          sysrq: expect.stringMatching(/^errno (2|13)$/),
        },
        ...{ memory: "errno 13", mount: "errno 1", child: "refused", namespace: "errno 13" },
        ...{ clone: "0", cloneUser: "1", cloneNetwork: "1", clone3: "38", algorithms: "1", packets: "1" },
        ...{ opened: "ok", openedFile: "errno 22", openedOther: "errno 22", openedNone: "errno 2" },
      });
      if (version >= 6) expect(signal).toBe("errno 1");
      expect(existsSync("/tmp/made-in-the-domain")).toBe(false);
    } finally {
      outside.kill("SIGKILL");
      await outside.exited;
    }
  },
  30_000,
);

withLandlock("netd is in its domain, and what opens namespaces for it ends with it", async () => {
  await engine.ok("run", "--rm", image, "true");
  const netd = pidOf("netd");
  const openers = () => processes().filter(({ command, state }) => command === "ctr-opener" && state !== "Z");
  expect(openers().map(({ parent }) => parent)).toEqual([netd]);
  expect(kernelFile(`/proc/${netd}/environ`)).toContain("\0CTR_OPENER_FD=");
  // Its environment is what is left of its birth, its memory none of its business; and nobody else holds its socket.
  expect(kernelFile(`/proc/${openers()[0]?.pid}/environ`)).toBe("");
  expect(readdirSync(`/proc/${openers()[0]?.pid}/fd`)).toEqual(["0"]);
  process.kill(netd, "SIGKILL");
  await waitFor("the opener's end", () => openers().length === 0);
  await engine.ok("run", "--rm", image, "true");
  expect(pidOf("netd")).not.toBe(netd);
});

test("the supervisor of a container that may do more refuses its programs nothing", async () => {
  writeFileSync(`${engine.scratch}/open.json`, '{"defaultAction":"SCMP_ACT_ALLOW"}');
  for (const flags of [
    ["--privileged"],
    ["--cap-add", "SYS_TIME"],
    ["--security-opt", "seccomp=unconfined"],
    ["--security-opt", `seccomp=${engine.scratch}/open.json`],
  ]) {
    await engine.ok("run", "-d", "--name", "capable", "--network", "none", ...flags, image, "probe", "pause");
    const supervisor = pidOf("supervisor");
    // The moment at which the other kind has its filter: when what the start had cached is given back.
    await waitFor("SIGTERM to be caught", () =>
      /^SigCgt:\t\w*[4-7c-f]\w{3}$/m.test(kernelFile(`/proc/${supervisor}/status`)),
    );
    const [own] = /\d+$/.exec(await engine.ok("exec", "capable", "grep", "Seccomp_filters", "/proc/self/status")) ?? [];
    const [first] = /\d+$/.exec(await engine.ok("exec", "capable", "grep", "Seccomp_filters", "/proc/1/status")) ?? [];
    expect(`${flags} ${own}`).toBe(`${flags} ${first}`);
    expect(new Set(filters(supervisor))).toEqual(new Set([0]));
    await engine.ok("rm", "-f", "capable");
    await waitFor("the supervisor's end", () => pidOf("supervisor") === 0);
  }
});

test("no process of ours leaves a core or may be looked into by others of its user", async () => {
  await engine.ok("run", "-d", "--name", "dumped", image, "probe", "pause");
  // Of a process that is not dumpable only root's capabilities open the memory (proc(5), "/proc/pid").
  for (const role of ["netd", "supervisor"]) {
    const words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "cat", `/proc/${pidOf(role)}/environ`];
    expect(Bun.spawnSync(words).stderr.toString()).toContain("Permission denied");
  }
  await engine.ok("rm", "-f", "dumped");
});
