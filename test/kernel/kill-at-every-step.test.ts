/**
 * A container's life, with our processes killed before each call that changes something. The calls are recorded first,
 * by strace, so that none is left to chance; what is found afterwards is true, can be removed, and leaves nothing.
 */
import { expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { notedStarts } from "../../internal/container/starting.ts";
import { isRunning } from "../../internal/sys/process.ts";
import { tempEngine } from "../lib/engine.ts";
import { cgroupParent, cgroupsBelow, processes } from "../lib/host.ts";
import { binary, needs } from "../lib/needs.ts";
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

type Call = (typeof CALLS)[number];

const strace = (options: readonly string[], words: readonly string[]) =>
  Bun.spawn(["strace", "-qq", ...options, ...words], {
    env: { ...process.env, ...engine.env },
    cwd: engine.scratch,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });

/** How often the busiest of the processes makes each call. */
async function recorded(options: readonly string[], words: readonly string[]): Promise<ReadonlyMap<Call, number>> {
  const log = `${engine.scratch}/steps`;
  const child = strace([...options, "-ff", "-o", log, "-e", `trace=${CALLS.join(",")}`], words);
  await child.exited;
  const most = new Map<Call, number>();
  for (const name of readdirSync(engine.scratch).filter((entry) => entry.startsWith("steps."))) {
    const lines = readFileSync(`${engine.scratch}/${name}`, "utf8").split("\n");
    for (const call of CALLS) {
      const count = lines.filter((line) => line.startsWith(`${call}(`)).length;
      if (count > (most.get(call) ?? 0)) most.set(call, count);
    }
  }
  return most;
}

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

/** Every call of a recording, with its number. */
function* steps(most: ReadonlyMap<Call, number>): Generator<readonly [call: Call, n: number]> {
  for (const [call, count] of most) for (let n = 1; n <= count; n++) yield [call, n];
}

const killedAt = (call: Call, n: number) => [
  "-o",
  "/dev/null",
  "-e",
  `trace=${call}`,
  "-e",
  `inject=${call}:signal=SIGKILL:when=${n}`,
];

for (const [name, follow] of [
  ["the command of a run", []],
  ["command, supervisor and init of a run, each", ["-f"]],
] as const) {
  test(`${name}: killed before each of its calls`, async () => {
    const words = [binary(), "run", "--rm", "--network", "none", image, "true"];
    await engine.ok(...words.slice(1));
    const most = await recorded(follow, words);
    expect(most.size).toBeGreaterThan(5);
    for (const [call, n] of steps(most)) {
      await strace([...follow, ...killedAt(call, n)], words).exited;
      await expectTruth(`${call} ${n}`);
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
    const log = `${engine.scratch}/ending`;
    const supervisor = await begin();
    const recorder = strace(["-o", log, "-e", `trace=${CALLS.join(",")}`, "-p", supervisor], []);
    await isAttached(supervisor);
    await engine.ok(...end);
    await recorder.exited;
    const lines = readFileSync(log, "utf8").split("\n");
    const most = new Map(
      CALLS.map((call) => [call, lines.filter((line) => line.startsWith(`${call}(`)).length] as const),
    );
    await engine.ctr("rm", "-f", "victim");
    expect([...steps(most)].length).toBeGreaterThan(5);
    for (const [call, n] of steps(most)) {
      const pid = await begin();
      const tracer = strace([...killedAt(call, n), "-p", pid], []);
      await isAttached(pid);
      const { status } = await engine.ctr(...end);
      // Whatever it said, done again it is done.
      if (status !== 0) await engine.ctr(...end);
      await tracer.exited;
      await expectTruth(`${call} ${n}`);
    }
  }, 400_000);
}
