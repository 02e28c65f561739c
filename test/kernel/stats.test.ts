/** `stats`: what containers use, against the kernel's own numbers. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { cgroupParent, cgroupsBelow, kernelFile } from "../lib/host.ts";
import { binary, isDocker, needs } from "../lib/needs.ts";
import { openSession } from "../lib/terminal.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const parent = cgroupParent();

interface Shown {
  readonly Name: string;
  readonly ID: string;
  readonly CPUPerc: string;
  readonly MemUsage: string;
  readonly MemPerc: string;
  readonly NetIO: string;
  readonly BlockIO: string;
  readonly PIDs: string;
}

async function shown(...operands: readonly string[]): Promise<readonly Shown[]> {
  const text = await engine.ok("stats", "--no-stream", "--format", "json", ...operands);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Shown => JSON.parse(line));
}

/** Bytes of a text such as `1.5MiB`. */
function bytes(text: string): number {
  const [, amount = "", unit = ""] = /^([\d.]+)([A-Za-z]+)$/.exec(text.trim()) ?? [];
  const scale: { readonly [unit: string]: number } = { B: 1, kB: 1e3, MB: 1e6, KiB: 1024, MiB: 1 << 20, GiB: 1 << 30 };
  return Number(amount) * (scale[unit] ?? Number.NaN);
}

test("Docker's columns, for those that run; -a shows the others too", async () => {
  const id = await engine.ok("run", "-d", "--name", "one", "--network", "none", "-m", "64m", image, "sleep", "1000");
  await engine.ok("create", "--name", "idle", "--network", "none", image, "true");
  const [header = "", ...lines] = (await engine.ok("stats", "--no-stream")).split("\n");
  expect(header.split(/ {3,}/)).toEqual(
    "CONTAINER ID|NAME|CPU %|MEM USAGE / LIMIT|MEM %|NET I/O|BLOCK I/O|PIDS".split("|"),
  );
  expect(lines.length).toBe(1);
  expect(lines[0]).toMatch(
    new RegExp(
      `^${id.slice(0, 12)} +one +\\d+\\.\\d\\d% +[\\d.]+[KM]iB / 64MiB +\\d+\\.\\d\\d% +0B / 0B +\\S+ / \\S+ +1$`,
    ),
  );
  const all = await shown("-a");
  expect(all.map(({ Name }) => Name).toSorted()).toEqual(["idle", "one"]);
  expect(all.find(({ Name }) => Name === "idle")).toMatchObject({ CPUPerc: "0.00%", MemUsage: "0B / 0B", PIDs: "0" });
  expect(await engine.ok("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.Container}}", "one")).toBe(
    `${id} one`,
  );
  expect(await engine.fails(1, "stats", "--no-stream", "nosuch")).toContain("No such container: nosuch");
  await engine.ok("rm", "-f", "one", "idle");
});

test("the numbers are the kernel's: memory without what can be dropped, processes, a busy CPU", async () => {
  const script = "head -c 20000000 /dev/zero > /dev/shm/held; sleep 1000 & while :; do :; done";
  const id = await engine.ok("run", "-d", "--name", "busy", "-m", "100m", "--cpus", "0.5", image, "sh", "-c", script);
  await engine.ok("exec", "busy", "sh", "-c", "until [ $(stat -c %s /dev/shm/held) = 20000000 ]; do :; done");
  const [stats] = await shown("busy");
  if (stats === undefined) throw new Error("nothing shown");
  const [used = "", limit = ""] = stats.MemUsage.split("/");
  expect(limit.trim()).toBe("100MiB");
  expect(bytes(used)).toBeGreaterThan(20_000_000);
  if (needs("cgroup-v1")) {
    const path = cgroupsBelow(parent).find((found) => found.endsWith(`/memory${parent}/${id}`)) ?? "";
    const usage = Number(kernelFile(`${path}/memory.usage_in_bytes`));
    const dropped = Number(/total_inactive_file (\d+)/.exec(kernelFile(`${path}/memory.stat`))?.[1]);
    expect(Math.abs(bytes(used) - (usage - dropped))).toBeLessThan(2 << 20);
  }
  expect(Number.parseFloat(stats.MemPerc)).toBeCloseTo((100 * bytes(used)) / (100 << 20), 0);
  expect(stats.PIDs).toBe("2");
  // Half a core is all it may have; how much it gets depends on who else is busy.
  expect(Number.parseFloat(stats.CPUPerc)).toBeGreaterThan(2);
  expect(Number.parseFloat(stats.CPUPerc)).toBeLessThan(75);
  await engine.ok("rm", "-f", "busy");
});

test("network traffic is counted; the host's is nobody's", async () => {
  await engine.ok("run", "-d", "--name", "talks", image, "sleep", "1000");
  await engine.ok("run", "-d", "--name", "shares", "--network", "host", image, "sleep", "1000");
  const sent = async (name: string) => bytes((await shown(name))[0]?.NetIO.split("/")[1] ?? "");
  const before = await sent("talks");
  await engine.ctr("exec", "talks", "ping", "-c", "3", "-s", "1000", "-i", "0.1", "172.17.0.1");
  expect((await sent("talks")) - before).toBeGreaterThan(2500);
  expect(await sent("shares")).toBe(0);
  await engine.ok("rm", "-f", "talks", "shares");
});

test("a container that starts or ends meanwhile comes and goes", async () => {
  if (isDocker()) return;
  const live = engine.spawn("stats", "--format", "{{.Name}}");
  let text = "";
  const ended = (async () => {
    for await (const chunk of live.stdout) text += Buffer.from(chunk).toString();
  })();
  const until = async (what: () => boolean) => {
    const deadline = performance.now() + 10_000;
    while (!what()) {
      if (performance.now() > deadline) throw new Error(`stats shows ${JSON.stringify(text)}`);
      await Bun.sleep(20);
    }
  };
  await engine.ok("run", "-d", "--name", "comes", "--network", "none", image, "sleep", "1000");
  await until(() => text.includes("comes\n"));
  await engine.ok("run", "-d", "--name", "stays", "--network", "none", image, "sleep", "1000");
  await engine.ok("rm", "-f", "comes");
  text = "";
  await until(() => text.split("stays\n").length > 2);
  expect(text).not.toContain("comes");
  live.kill("SIGTERM");
  await ended;
  await engine.ok("rm", "-f", "stays");
});

test("on a terminal: in place, with a history, sorted by the key that is pressed, and the terminal is given back", async () => {
  if (isDocker()) return;
  for (const name of ["alpha", "beta"])
    await engine.ok("run", "-d", "--name", name, "--network", "none", image, "sleep", "1000");
  await engine.ok("exec", "-d", "alpha", "sh", "-c", "while :; do :; done");
  const options = { env: { ...engine.env, NO_COLOR: "" }, columns: 160, rows: 20 };
  await using session = openSession([`${import.meta.dir}/../../dist/ctr`, "stats"], options);
  await session.expect("CONTAINER ID");
  await session.expect("q quit");
  expect(session.isRaw()).toBe(true);
  expect(session.output()).toContain("\x1b[1mCONTAINER ID");
  const order = async (key: string) => {
    session.type(key);
    await session.expect(/[▲▼]/);
    const frame = await session.expect("q quit");
    return frame.indexOf("alpha") < frame.indexOf("beta") ? "alpha first" : "beta first";
  };
  expect(await order("a")).toBe("alpha first");
  expect(await order("r")).toBe("beta first");
  session.type("r");
  await session.expect("q quit");
  // A busy CPU shows in its history once there are two looks to compare.
  await session.expect(/[▂▃▄▅▆▇█]/);
  expect(await order("c")).toBe("alpha first");
  session.resize(60, 20);
  const narrow = await session.expect(/CONTAINER ID[^\n]*\r\n[^\n]*\r\n/);
  expect(narrow).not.toBe("");
  session.type("q");
  expect(await session.exited).toBe(0);
  expect(session.isRaw()).toBe(false);
  expect(session.output()).toContain("\x1b[?25h");
  await engine.ok("rm", "-f", "alpha", "beta");
});

test("NO_COLOR: not a colour", async () => {
  if (isDocker()) return;
  const options = { env: { ...engine.env, NO_COLOR: "1" }, columns: 160, rows: 20 };
  await using session = openSession([`${import.meta.dir}/../../dist/ctr`, "stats"], options);
  await session.expect("q quit");
  expect(session.output()).not.toContain("\x1b[1m");
  session.kill("SIGTERM");
  expect(await session.exited).toBe(0);
  expect(session.output()).toContain("\x1b[?25h");
});

test("with fewer descriptors than containers need, all are shown", async () => {
  if (isDocker()) return;
  const names = ["first", "second", "third"];
  for (const name of names) await engine.ok("run", "-d", "--name", name, "--network", "none", image, "sleep", "1000");
  const command = `ulimit -Sn 108; ulimit -Hn 108; exec '${binary()}' stats --no-stream --format '{{.Name}} {{.PIDs}}'`;
  const child = Bun.spawn(["bash", "-c", command], { env: { ...process.env, ...engine.env }, stdout: "pipe" });
  expect((await child.stdout.text()).trim().split("\n").toSorted()).toEqual(names.map((name) => `${name} 1`));
  expect(await child.exited).toBe(0);
  await engine.ok("rm", "-f", ...names);
});
