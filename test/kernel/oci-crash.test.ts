/** `ctr oci` killed at any step: `delete --force` removes what was made, and the id is free. */
import { expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { kernelFile, processes } from "../lib/host.ts";
import { needs } from "../lib/needs.ts";
import { tempOciRuntime } from "../lib/oci-runtime.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const runtime = tempOciRuntime();
const { oci, ok, bundle, state, path, root, home } = runtime;

/** At how many of its calls a command is killed. */
const STEPS = Number(process.env["CTR_CRASH_STEPS"] ?? "14");

/** Between two of these a command has done something more. */
const EFFECTS = "mkdirat,openat,write,renameat2,clone3,sendmsg,connect,unlinkat,bind,listen,read,flock";

/** One call of a command: the n-th of its name. */
interface Step {
  readonly call: string;
  readonly number: number;
}

/** Runs a command and kills it as it enters a call; false when it ended before. */
async function killedAt({ call, number }: Step, words: readonly string[]): Promise<boolean> {
  const inject = ["strace", "-qq", "-o", "/dev/null", "-e", `inject=${call}:signal=KILL:when=${number}`];
  const child = Bun.spawn([...inject, path, "--root", root, ...words], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await child.exited;
  return child.signalCode === "SIGKILL" || child.exitCode === 137;
}

/** The calls of a command from where it first touches its containers, and among them some that are spread evenly. */
async function stepsOf(words: readonly string[]): Promise<readonly Step[]> {
  const log = `${home}/calls`;
  const child = Bun.spawn(["strace", "-qq", "-o", log, "-e", `trace=${EFFECTS}`, path, "--root", root, ...words], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await child.exited;
  const seen = new Map<string, number>();
  let isAtWork = false;
  const all = readFileSync(log, "utf8")
    .split("\n")
    .flatMap((line): Step[] => {
      const call = /^(\w+)\(/.exec(line)?.[1];
      if (call === undefined) return [];
      const number = (seen.get(call) ?? 0) + 1;
      seen.set(call, number);
      isAtWork ||= line.includes(root);
      return isAtWork ? [{ call, number }] : [];
    });
  const stride = all.length / STEPS;
  return Array.from({ length: STEPS }, (_, at) => all[Math.floor(at * stride)]).filter((step) => step !== undefined);
}

/** Nothing of the container is left: directory, cgroups, processes. */
function expectNothing(cgroup: string): void {
  expect(existsSync(root) ? readdirSync(root) : []).toEqual([]);
  for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
    expect(existsSync(`/sys/fs/cgroup/${hierarchy}${cgroup}`)).toBe(false);
  }
  expect(processes().filter(({ command, state: now }) => now !== "Z" && /^ctr init|sleep 1000/.test(command))).toEqual(
    [],
  );
}

test.if(needs("strace"))(
  "create killed at any step: delete --force removes all of it",
  async () => {
    const directory = bundle(["sleep", "1000"]);
    const { cgroupsPath } = JSON.parse(readFileSync(`${directory}/config.json`, "utf8")).linux;
    const words = ["create", "--bundle", directory, "crash"];
    const steps = await stepsOf(words);
    await ok("delete", "--force", "crash");
    let killed = 0;
    for (const step of steps) {
      if (await killedAt(step, words)) killed++;
      await ok("delete", "--force", "crash");
      expectNothing(cgroupsPath);
    }
    expect(killed).toBeGreaterThan(STEPS / 2);
    await ok("create", "--bundle", directory, "crash");
    await ok("delete", "crash");
  },
  60_000,
);

test.if(needs("strace"))(
  "start and exec killed at any step: the container is one thing or the other, and goes",
  async () => {
    const directory = bundle(["sleep", "1000"]);
    const { cgroupsPath } = JSON.parse(readFileSync(`${directory}/config.json`, "utf8")).linux;
    await ok("create", "--bundle", directory, "crash");
    const exec = ["exec", "--detach", "crash", "sleep", "1000"];
    const starts = await stepsOf(["start", "crash"]);
    const execs = await stepsOf(exec);
    await ok("delete", "--force", "crash");
    let killed = 0;
    for (const [at, step] of starts.entries()) {
      await ok("create", "--bundle", directory, "crash");
      if (await killedAt(step, ["start", "crash"])) killed++;
      const { status } = await state("crash");
      expect(["created", "running"]).toContain(status);
      // What was not started can still be; what was, only once.
      expect((await oci("start", "crash")).status).toBe(status === "created" ? 0 : 1);
      const during = execs[at];
      if (during !== undefined && (await killedAt(during, exec))) killed++;
      await ok("delete", "--force", "crash");
      expectNothing(cgroupsPath);
    }
    expect(killed).toBeGreaterThan(STEPS);
  },
  60_000,
);

test("what a create left that had not begun is taken by the next, what one left that had is not", async () => {
  mkdirSync(`${root}/stale`, { recursive: true });
  expect(await ok("list", "-q")).toBe("");
  expect((await oci("state", "stale")).stderr).toContain("container does not exist");
  const directory = bundle(["sleep", "1000"]);
  await ok("create", "--bundle", directory, "stale");
  await ok("delete", "stale");

  // Of a machine that has started anew: a process of that number is another one now.
  mkdirSync(`${root}/old`);
  const init = { pid: process.pid, startTime: 1 };
  writeFileSync(
    `${root}/old/state.json`,
    JSON.stringify({
      ...{ id: "old", ociVersion: "1.2.0", bundle: "/b", rootfs: "/b/r", created: "2020-01-01T00:00:00Z" },
      ...{ annotations: {}, uid: 0, cgroup: `${process.env["CTR_CGROUP_PARENT"]}/gone`, creator: init, init },
    }),
  );
  expect(await state("old")).toMatchObject({ status: "stopped", pid: 0 });
  expect((await oci("create", "--bundle", directory, "old")).stderr).toContain("already exists");
  expect((await oci("kill", "old", "KILL")).stderr).toContain("container not running");
  expect(kernelFile(`/proc/${process.pid}/stat`)).not.toBe("");
  await ok("delete", "old");
  expect(readdirSync(root)).toEqual([]);
});

test("delete --force of one whose init is killed, frozen, or waits; kill --all without a PID namespace", async () => {
  const directory = bundle(["sleep", "1000"]);
  await ok("create", "--bundle", directory, "gone");
  process.kill((await state("gone")).pid, "SIGKILL");
  await ok("delete", "--force", "gone");
  await ok("run", "--detach", "--bundle", directory, "frozen");
  await ok("pause", "frozen");
  await ok("delete", "--force", "frozen");

  const shared = bundle(["sh", "-c", "sleep 1000 & exec sleep 1000"], (config) => {
    const { namespaces } = config.linux as { namespaces: readonly { type: string }[] };
    config.linux["namespaces"] = namespaces.filter(({ type }) => type !== "pid");
  });
  await ok("run", "--detach", "--bundle", shared, "shared");
  const pids = await waitFor("both processes", async () => {
    const inside: readonly number[] = JSON.parse(await ok("ps", "--format", "json", "shared"));
    return inside.length === 2 ? inside : undefined;
  });
  await ok("delete", "--force", "shared");
  for (const pid of pids) expect(processes().find((one) => one.pid === pid && one.state !== "Z")).toBeUndefined();
});
