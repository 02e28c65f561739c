/** What a supervisor holds, owes and survives: descriptors, children, answers, clients that come at the wrong moment. */

import { Database } from "bun:sqlite";
import { expect } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { kernelFile, processes } from "../lib/host.ts";
import { needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(needs("ctr"));
const engine = tempEngine();
const image = await engine.image("minimal");
const RUN = ["run", "-d", "--network", "none"] as const;

const status = (name: string) => engine.ok("inspect", "-f", "{{.State.Status}}", name);
const pidOf = async (name: string) => Number(await engine.ok("inspect", "-f", "{{.State.Pid}}", name));

/** The supervisor of a running container: the parent of its first process. */
async function supervisorOf(name: string): Promise<number> {
  const pid = await pidOf(name);
  return processes().find((found) => found.pid === pid)?.parent ?? 0;
}

const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
const childrenOf = (pid: number) => processes().filter((found) => found.parent === pid);

async function inParallel(count: number, width: number, action: () => Promise<unknown>): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (left-- > 0) await action();
    }),
  );
}

test("two hundred execs leave neither a descriptor nor a zombie", async () => {
  await engine.ok(...RUN, "--name", "execs", image, "probe", "pause");
  const supervisor = await supervisorOf("execs");
  const round = async () => {
    await engine.ok("exec", "execs", "true");
    // A program that closes its input before it was all written.
    await engine.ctrWith({ stdin: new Uint8Array(300_000) }, "exec", "-i", "execs", "true");
    await engine.fails(127, "exec", "execs", "missing");
    expect(await engine.ok("exec", "-t", "execs", "echo", "t")).toBe("t");
  };
  await round();
  await round();
  const before = descriptors(supervisor);
  await inParallel(50, 4, round);
  await waitFor("the last connections to close", () => descriptors(supervisor) <= before);
  expect(childrenOf(supervisor).map(({ state, command }) => `${state} ${command}`).length).toBe(1);
  await engine.ok("rm", "-f", "execs");
}, 90_000);

test("a supervisor and netd that wait have no thread that would wake up", async () => {
  await engine.ok("run", "-d", "--name", "waiting", image, "probe", "pause");
  const threads = (pid: number) =>
    readdirSync(`/proc/${pid}/task`).map((id) => kernelFile(`/proc/${pid}/task/${id}/comm`));
  const ofFiles = (pid: number) => Number(/^RssFile:\s+(\d+)/m.exec(kernelFile(`/proc/${pid}/status`))?.[1] ?? 0);
  for (const pid of [await supervisorOf("waiting"), engine.netd() ?? 0]) {
    await waitFor("its memory to be given back", () => ofFiles(pid) < 8 << 10, 20_000);
    // The interpreter's pool waits for work and nothing else; any other thread would map the executable again when it ends.
    expect(threads(pid).filter((name) => !name.startsWith("Bun Pool"))).toHaveLength(1);
  }
  await engine.ok("rm", "-f", "waiting");
}, 45_000);

test("fifty restarts leave neither a descriptor nor a zombie", async () => {
  await engine.ok(...RUN, "-i", "--name", "restarts", image, "probe", "pause");
  const supervisor = await supervisorOf("restarts");
  for (let i = 0; i < 3; i++) await engine.ok("restart", "-t", "0", "restarts");
  const before = descriptors(supervisor);
  for (let i = 0; i < 50; i++) await engine.ok("restart", "-t", "0", "restarts");
  expect(await supervisorOf("restarts")).toBe(supervisor);
  await waitFor("the last connections to close", () => descriptors(supervisor) <= before);
  expect(childrenOf(supervisor).length).toBe(1);
  await engine.ok("rm", "-f", "restarts");
}, 90_000);

test("attach: three at once, one killed, all the others have every line and the status", async () => {
  await engine.ok(...RUN, "-i", "--name", "shared", image, "sh", "-c", "read go; seq 20000; exit 7");
  const clients = Array.from({ length: 3 }, () => engine.spawn("attach", "--no-stdin", "shared"));
  const victim = engine.spawn("attach", "--no-stdin", "shared");
  const starter = engine.spawn("attach", "shared");
  // Each connection of a client is a descriptor of the supervisor.
  const supervisor = await supervisorOf("shared");
  await waitFor("five clients", () => descriptorsOfSockets(supervisor) >= 6);
  victim.kill("SIGKILL");
  await victim.exited;
  starter.stdin.write("go\n");
  starter.stdin.end();
  const expected = `${Array.from({ length: 20_000 }, (_unused, i) => i + 1).join("\n")}\n`;
  for (const client of [...clients, starter]) {
    expect((await client.stdout.text()) === expected).toBe(true);
    expect(await client.exited).toBe(7);
  }
  await engine.ok("rm", "shared");
});

/** Sockets that are connected to somebody or listening. */
function descriptorsOfSockets(pid: number): number {
  const found = Bun.spawnSync(["sh", "-c", `ls -l /proc/${pid}/fd | grep -c socket:`]);
  return Number(found.stdout.toString());
}

test("a slow reader of much output loses nothing, to the last byte", async () => {
  const MIB = 200;
  const child = engine.spawn(
    "run",
    "--rm",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    `head -c ${MIB << 20} /dev/zero; printf end`,
  );
  let size = 0;
  let last: Uint8Array = new Uint8Array(0);
  let chunks = 0;
  for await (const chunk of child.stdout) {
    size += chunk.length;
    last = chunk;
    if (chunks++ % 200 === 0) await Bun.sleep(5); // slower than the container writes
  }
  expect(await child.exited).toBe(0);
  expect(size).toBe((MIB << 20) + 3);
  expect(new TextDecoder().decode(last.subarray(-3))).toBe("end");
}, 120_000);

test("a reader that has stopped gets the rest when it goes on, though the container ended meanwhile", async () => {
  await engine.ok(...RUN, "-i", "--name", "late", image, "sh", "-c", "read go; head -c 1500000 /dev/zero; exit 5");
  const reader = engine.spawn("attach", "--no-stdin", "late");
  // Its connection alone would not be enough: stopped before it has asked, it would find the container ended.
  const events = ["events", "--since", "1h", "--until", "0s", "--filter", "container=late", "--filter", "event=attach"];
  await waitFor("the reader", async () => (await engine.ok(...events)) !== "");
  reader.kill("SIGSTOP");
  const starter = engine.spawn("attach", "late");
  starter.stdin.write("go\n");
  starter.stdin.end();
  const ended = starter.stdout.bytes();
  await Bun.sleep(300); // the container's output fills what the stopped one may owe
  reader.kill("SIGCONT");
  expect((await reader.stdout.bytes()).length).toBe(1_500_000);
  expect(await reader.exited).toBe(5);
  expect((await ended).length).toBe(1_500_000);
  await engine.ok("rm", "late");
});

test("run -d and logs -f at once: every line", async () => {
  for (let round = 0; round < 5; round++) {
    const id = await engine.ok(...RUN, image, "seq", "1000");
    const log = await engine.ok("logs", "-f", id);
    expect(log.split("\n").length).toBe(1000);
    await engine.ok("rm", id);
  }
});

test("signals get past input that nobody reads", async () => {
  const child = engine.spawn(
    "run",
    "--rm",
    "-i",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "trap 'exit 42' TERM; echo up; while :; do sleep 0.05; done",
  );
  const reader = child.stdout.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("up\n");
  child.stdin.write(new Uint8Array(4 << 20));
  // The command ends before it has read all of it.
  Promise.resolve(child.stdin.flush()).catch(() => {});
  await Bun.sleep(300); // until the pipe and the window are full
  child.kill("SIGTERM");
  expect(await child.exited).toBe(42);
});

test("exec: the program's end is its end, though a child of it keeps the input and does not read it", async () => {
  await engine.ok(...RUN, "--name", "keeps", image, "probe", "pause");
  const result = await engine.ctrWith(
    { stdin: new Uint8Array(3 << 20) },
    "exec",
    "-i",
    "keeps",
    "sh",
    "-c",
    "sleep 600 <&0 >/dev/null 2>&1 & exit 3",
  );
  expect(result.status).toBe(3);
  await engine.ok("rm", "-f", "keeps");
});

test("exec into a container that ends at that moment: its status or a clear refusal", async () => {
  for (let round = 0; round < 12; round++) {
    await engine.ok(...RUN, "--name", "ending", image, "probe", "pause");
    const killing = engine.ctr("kill", "ending");
    const execs = await Promise.all(Array.from({ length: 3 }, () => engine.ctr("exec", "ending", "true")));
    await killing;
    for (const { status: code, stderr } of execs) {
      if (code === 0 || code === 137) continue;
      expect(stderr).toMatch(/is not running|the supervisor ended/);
    }
    await engine.ok("rm", "-f", "ending");
  }
}, 60_000);

test("a paused container can be stopped, killed, restarted and removed", async () => {
  const paused = async (name: string) => {
    await engine.ok(...RUN, "--name", name, image, "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done");
    await engine.ok("pause", name);
    expect(await status(name)).toBe("paused");
  };
  await paused("p-stop");
  await engine.ok("stop", "p-stop");
  expect(await engine.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "p-stop")).toBe("exited 3");
  await paused("p-kill");
  await engine.ok("kill", "p-kill");
  expect(await engine.ok("wait", "p-kill")).toBe("137");
  await paused("p-restart");
  await engine.ok("restart", "-t", "1", "p-restart");
  expect(await status("p-restart")).toBe("running");
  await paused("p-rm");
  await engine.ok("rm", "-f", "p-stop", "p-kill", "p-restart", "p-rm");
});

test("stop -t 1 of one that ignores SIGTERM: killed, 137", async () => {
  await engine.ok(...RUN, "--name", "deaf", image, "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done");
  await waitFor("the trap", async () => (await engine.ok("logs", "deaf")) === "up");
  const start = performance.now();
  await engine.ok("stop", "-t", "1", "deaf");
  expect(performance.now() - start).toBeLessThan(5000);
  expect(await engine.ok("wait", "deaf")).toBe("137");
  await engine.ok("rm", "deaf");
});

test("stop, kill and rm at the same time as restarts: each ends, and the last word holds", async () => {
  for (let round = 0; round < 6; round++) {
    await engine.ok(...RUN, "--name", "busy", image, "probe", "pause");
    const restarts = [engine.ctr("restart", "-t", "0", "busy"), engine.ctr("restart", "-t", "0", "busy")];
    await Bun.sleep(5 * round); // the moment is what is tried here
    const stopping = engine.ctr("stop", "-t", "0", "busy");
    await Promise.all([...restarts, stopping]);
    await engine.ok("rm", "-f", "busy");
    expect(await engine.ok("ps", "-aq")).toBe("");
  }
  for (let round = 0; round < 6; round++) {
    await engine.ok(...RUN, "--name", "busy", image, "probe", "pause");
    const restart = engine.ctr("restart", "-t", "0", "busy");
    await Bun.sleep(4 * round);
    const started = performance.now();
    await engine.ok("rm", "-f", "busy");
    expect(performance.now() - started).toBeLessThan(8000);
    await restart;
    expect(await engine.ok("ps", "-aq")).toBe("");
  }
}, 90_000);

test("a client that is killed while it sends input: the program sees the end of its input", async () => {
  const child = engine.spawn(
    "run",
    "-i",
    "--name",
    "cut",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "cat > /dev/null; exit 6",
  );
  await waitFor(
    "the container",
    async () => (await engine.ctr("inspect", "cut")).status === 0 && (await status("cut")) === "running",
  );
  const writing = (async () => {
    for (let i = 0; i < 400; i++) {
      child.stdin.write(new Uint8Array(1 << 20));
      await child.stdin.flush();
    }
  })().catch(() => {});
  await Bun.sleep(60); // in the middle of it
  child.kill("SIGKILL");
  await child.exited;
  expect(await engine.ok("wait", "cut")).toBe("6");
  await engine.ok("rm", "cut");
  await writing;
});

test("a row that is gone, or a store that cannot be written: the supervisor ends with its container", async () => {
  const id = await engine.ok(...RUN, "-i", "--name", "lost", image, "sh", "-c", "read go; echo out; exit 4");
  const supervisor = await supervisorOf("lost");
  const client = engine.spawn("attach", "lost");
  await waitFor("the client", () => descriptorsOfSockets(supervisor) >= 2);
  {
    using db = new Database(`${engine.root}/ctr.db`);
    db.run("PRAGMA foreign_keys = OFF");
    db.run("DELETE FROM container WHERE id = ?", [id]);
  }
  client.stdin.write("go\n");
  client.stdin.end();
  expect(await client.stdout.text()).toBe("out\n");
  expect(await client.exited).toBe(4);
  expect(await client.stderr.text()).toContain("No such container");
  await waitFor(
    "the supervisor's end",
    () => !processes().some(({ pid, state }) => pid === supervisor && state !== "Z"),
  );
  rmSync(`${engine.root}/containers/${id}`, { recursive: true });
});
