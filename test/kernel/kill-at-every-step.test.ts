/**
 * A container's life, with our processes killed before calls that change something, drawn as test/lib/steps.ts says: what
 * is found afterwards is true, can be removed, and leaves nothing.
 */
import { expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { notedStarts } from "../../internal/container/starting.ts";
import { isRunning } from "../../internal/sys/process.ts";
import { tempEngine } from "../lib/engine.ts";
import { cgroupParent, cgroupsBelow, processes } from "../lib/host.ts";
import { binary, needs } from "../lib/needs.ts";
import { drawn, killedBefore, recordedSteps, recording } from "../lib/steps.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(needs("ctr", "strace"));
const engine = tempEngine();
const image = await engine.image("minimal");

/** The calls by which anything outside the process becomes other than it was. */
const CALLS = [
  ...["mkdirat", "mkdir", "unlinkat", "unlink", "symlinkat", "renameat2", "rename", "ftruncate", "pwrite64", "write"],
  ...["fsync", "fdatasync", "clone3", "execveat", "sendto", "connect", "bind", "fsmount", "move_mount", "mount"],
  ...["pivot_root", "exit_group"],
] as const;

/** Of the steps of one test. */
const MAX_STEPS = 20;
const log = `${engine.scratch}/steps`;

const strace = (options: readonly string[], words: readonly string[]) =>
  Bun.spawn(["strace", "-qq", ...options, ...words], {
    env: { ...process.env, ...engine.env },
    cwd: engine.scratch,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });

/** Our processes, all of whose names begin with ours. */
const ours = () =>
  processes().filter(
    ({ state, command }) => state !== "Z" && /(^|\/)ctr (run|start|supervisor|init|rm|stop)\b/.test(command),
  );

/** Everything is as if the command had come to an end of its own, or never been. */
async function expectTruth(step: string): Promise<void> {
  await waitFor(`the supervisors after ${step}`, () =>
    notedStarts(engine.state).every(({ keeper }) => !isRunning(keeper.pid, keeper.startTime)),
  );
  const listed = (await engine.ok("ps", "-a", "--format", "{{.ID}} {{.State}}"))
    .split("\n")
    .filter((line) => line !== "");
  for (const line of listed) {
    const [id = "", state] = line.split(" ");
    expect([step, state]).toEqual([step, expect.stringMatching(/^(created|running|exited|dead)$/)]);
    const inspected = await engine.ctr("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", id);
    // One with --rm may be gone by itself meanwhile.
    if (inspected.status !== 0) continue;
    const [status, pid] = inspected.stdout.trim().split(" ");
    if (status === "running") expect([step, isAlive(Number(pid))]).toEqual([step, true]);
    await engine.ok("rm", "-f", id);
  }
  await waitFor(`our processes after ${step}`, () => ours().length === 0);
  await engine.ok("ps", "-a");
  expect([step, ...cgroupsBelow(cgroupParent())]).toEqual([step]);
  expect([step, ...readdirSync(`${engine.state}/starting`)]).toEqual([step]);
  expect([step, ...readdirSync(`${engine.root}/containers`)]).toEqual([step]);
  expect([step, ...readdirSync(`${engine.state}/containers`)]).toEqual([step]);
}

function isAlive(pid: number): boolean {
  return processes().some((found) => found.pid === pid && found.state !== "Z");
}

for (const [name, follow] of [
  ["the command of a run", []],
  ["command, supervisor and init of a run", ["-f"]],
] as const) {
  test(`${name}: killed before each of its calls`, async () => {
    const words = [binary(), "run", "--rm", "--network", "none", image, "true"];
    await engine.ok(...words.slice(1));
    await strace(recording(log, CALLS, follow.length > 0), words).exited;
    const all = recordedSteps(log, CALLS);
    expect(all.length).toBeGreaterThan(20);
    for (const step of drawn(all, MAX_STEPS)) {
      await strace([...follow, ...killedBefore(step)], words).exited;
      await expectTruth(step.join(" "));
    }
    expect(await engine.ok("run", "--rm", "--network", "none", image, "echo", "works")).toBe("works");
  }, 400_000);
}

for (const [name, end] of [
  ["stop", ["stop", "-t", "0", "victim"]],
  ["rm -f", ["rm", "-f", "victim"]],
] as const) {
  test(`the supervisor: killed before each of its calls of ${name}`, async () => {
    const begin = async () => {
      await engine.ok("run", "-d", "--name", "victim", "--network", "none", image, "sleep", "1000");
      const pid = await engine.ok("inspect", "-f", "{{.State.Pid}}", "victim");
      return /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
    };
    const isAttached = (pid: string) =>
      waitFor("strace", () => !/^TracerPid:\s*0$/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
    const supervisor = await begin();
    const recorder = strace([...recording(log, CALLS, false), "-p", supervisor], []);
    await isAttached(supervisor);
    await engine.ok(...end);
    await recorder.exited;
    await engine.ctr("rm", "-f", "victim");
    const all = recordedSteps(log, CALLS);
    expect(all.length).toBeGreaterThan(5);
    for (const step of drawn(all, MAX_STEPS)) {
      const pid = await begin();
      const tracer = strace([...killedBefore(step), "-p", pid], []);
      await isAttached(pid);
      const { status } = await engine.ctr(...end);
      // Whatever it said, done again it is done.
      if (status !== 0) await engine.ctr(...end);
      await tracer.exited;
      await expectTruth(step.join(" "));
    }
  }, 400_000);
}
