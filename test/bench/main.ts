/**
 * Speed and memory of ctr beside the engines that are installed, with the same root file system: alternating rounds,
 * medians, ratios. Runs inside scripts/private-host (scripts/bench does that); dockerd is there if DOCKER_HOST is set.
 * Prints one number per line, then the table; `--write` keeps the table in docs/performance.md.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { imageArchive } from "../lib/engine.ts";
import { kernelFile, processes, requirePrivateHost } from "../lib/host.ts";
import { waitFor } from "../lib/wait.ts";
import { writeManyImages } from "./many-images.ts";
import { keepTable, versionOf } from "./page.ts";

requirePrivateHost();
const isQuick = process.argv.includes("--quick");
const ROUNDS = isQuick ? 5 : 15;
const CTR = `${import.meta.dir}/../../dist/ctr`;
/** Made and removed by scripts/bench: podman keeps it mounted as long as this mount namespace lives. */
const home = process.env["CTR_BENCH_HOME"] ?? mkdtempSync("/tmp/ctr-b-");
const archive = imageArchive("minimal");

interface Peer {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  /** The engine's command with its own fixed flags. */
  readonly command: readonly string[];
}

const ctrEnv = { CTR_ROOT: `${home}/root`, CTR_STATE: `${home}/state` };
const ctr: Peer = { name: "ctr", env: ctrEnv, command: [CTR] };

/** Runs a command to its end; its output is thrown away unless asked for. */
function call(peer: Peer, operands: readonly string[]): number {
  const started = performance.now();
  const child = Bun.spawnSync([...peer.command, ...operands], {
    env: { ...process.env, ...peer.env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: 60_000,
  });
  const tookMs = performance.now() - started;
  if (child.exitCode !== 0)
    throw new Error(`${peer.name} ${operands.join(" ")}: ${child.exitCode} ${child.stderr.toString().trim()}`);
  return tookMs;
}

function output(peer: Peer, operands: readonly string[]): string {
  const child = Bun.spawnSync([...peer.command, ...operands], {
    env: { ...process.env, ...peer.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  if (child.exitCode !== 0) throw new Error(`${peer.name} ${operands.join(" ")}: ${child.stderr.toString().trim()}`);
  return child.stdout.toString().trim();
}

/** True if the engine can import the image and run it; otherwise says why it is left out. */
function isUsable(peer: Peer): boolean {
  try {
    call(peer, ["import", archive, "minimal"]);
    call(peer, ["run", "--rm", "--network", "none", "minimal", "true"]);
    return true;
  } catch (error) {
    console.error(`left out: ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

const engines: Peer[] = [ctr].filter(isUsable);
if (engines.length === 0) process.exit(1);
if (process.env["DOCKER_HOST"] !== undefined)
  engines.push(...[{ name: "docker", env: {}, command: ["docker"] }].filter(isUsable));
if (Bun.which("podman") !== null) {
  const command = [
    "podman",
    "--root",
    `${home}/podman`,
    "--runroot",
    `${home}/podman-run`,
    "--cgroup-manager",
    "cgroupfs",
    "--events-backend",
    "none",
  ];
  engines.push(...[{ name: "podman", env: {}, command }].filter(isUsable));
}

/** runc and crun run a bundle: the same files, the same program, no network, as Docker's default confinement has it. */
function bundle(): string {
  const directory = `${home}/bundle`;
  mkdirSync(`${directory}/rootfs`, { recursive: true });
  const unpacked = Bun.spawnSync(["tar", "-C", `${directory}/rootfs`, "-xf", archive]);
  if (unpacked.exitCode !== 0) throw new Error(unpacked.stderr.toString());
  const spec = Bun.spawnSync(["runc", "spec", "--bundle", directory]);
  if (spec.exitCode !== 0) throw new Error(spec.stderr.toString());
  const config = JSON.parse(readFileSync(`${directory}/config.json`, "utf8"));
  config.process.terminal = false;
  config.process.args = ["/bin/true"];
  config.root.readonly = false;
  writeFileSync(`${directory}/config.json`, JSON.stringify(config));
  return directory;
}

const runtimes: Peer[] = [];
if (Bun.which("runc") !== null) {
  const path = bundle();
  for (const name of ["runc", "crun"]) {
    if (Bun.which(name) === null) continue;
    const peer = { name, env: {}, command: [name, "--root", `${home}/${name}`] };
    try {
      call(peer, ["run", "--bundle", path, `${name}-try`]);
      runtimes.push(peer);
    } catch (error) {
      console.error(`left out: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

interface Row {
  readonly what: string;
  readonly unit: string;
  /** The aim of issue 2, as it is printed. */
  readonly aim: string;
  readonly values: ReadonlyMap<string, number>;
  /** True where more is better. */
  readonly isRate?: boolean;
}

const rows: Row[] = [];

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

function keep(row: Row): void {
  rows.push(row);
  for (const [name, value] of row.values)
    console.log(`${row.what.replaceAll(" ", "-")} ${name} ${value.toFixed(2)} ${row.unit}`);
}

/** Measures every peer in turn, round after round; the first round warms up and does not count. */
function alternate(
  peers: readonly Peer[],
  rounds: number,
  measure: (peer: Peer, round: number) => number,
): ReadonlyMap<string, number> {
  const taken = new Map(peers.map((peer) => [peer.name, [] as number[]]));
  for (let round = 0; round <= rounds; round++) {
    for (const peer of peers) {
      const value = measure(peer, round);
      if (round > 0) taken.get(peer.name)?.push(value);
    }
  }
  return new Map([...taken].map(([name, numbers]) => [name, median(numbers)]));
}

function runTrue(peer: Peer, round: number): number {
  if (runtimes.includes(peer)) return call(peer, ["run", "--bundle", `${home}/bundle`, `${peer.name}-${round}`]);
  return call(peer, ["run", "--rm", "--network", "none", "minimal", "/bin/true"]);
}

keep({
  what: "run --rm --network none true",
  unit: "ms",
  aim: "≤ runc; twice crun",
  values: alternate([...engines, ...runtimes], ROUNDS, runTrue),
});
keep({
  what: "run --rm true on the bridge",
  unit: "ms",
  aim: "docker / 10",
  values: alternate(engines, ROUNDS, (peer) => call(peer, ["run", "--rm", "minimal", "/bin/true"])),
});

for (const peer of engines)
  call(peer, ["run", "-d", "--name", "target", "--network", "none", "minimal", "probe", "pause"]);
keep({
  what: "exec true",
  unit: "ms",
  aim: "docker / 6",
  values: alternate(engines, ROUNDS, (peer) => call(peer, ["exec", "target", "/bin/true"])),
});

for (const peer of engines)
  for (let i = 1; i < 20; i++) call(peer, ["run", "-d", "--network", "none", "minimal", "probe", "pause"]);
keep({
  what: "ps with 20 containers",
  unit: "ms",
  aim: "≤ 8",
  values: alternate(engines, ROUNDS, (peer) => call(peer, ["ps"])),
});

/** Between the two looks of `ctr stats --no-stream` (cmd/ctr/commands/stats.ts). */
const STATS_INTERVAL_MS = 500;
for (let i = 20; i < 50; i++) call(ctr, ["run", "-d", "--network", "none", "minimal", "probe", "pause"]);
keep({
  what: "stats --no-stream with 50 containers after its interval",
  unit: "ms",
  aim: "≤ 100",
  values: alternate([ctr], isQuick ? 3 : 9, (peer) => call(peer, ["stats", "--no-stream"]) - STATS_INTERVAL_MS),
});
keep({
  what: "stats with 50 containers of one core",
  unit: "%",
  aim: "≤ 1",
  values: new Map([["ctr", await liveStatsPercent()]]),
});

for (let i = 50; i < 100; i++) call(ctr, ["run", "-d", "--network", "none", "minimal", "probe", "pause"]);
await Bun.sleep(isQuick ? 5_000 : 30_000); // what a supervisor does after its start is not what it keeps when idle
keep({
  what: "private memory of each of 100 idle containers beyond its program",
  unit: "MB",
  aim: "≤ 6",
  values: new Map([["ctr", mean(roles("supervisor").map(privateMemory))]]),
});
for (let i = 100; i < 200; i++) call(ctr, ["run", "-d", "--network", "none", "minimal", "probe", "pause"]);
keep({
  what: "ps with 200 containers",
  unit: "ms",
  aim: "≤ 15",
  values: alternate([ctr], ROUNDS, (peer) => call(peer, ["ps"])),
});

/** How much of a core a live `stats` takes once it runs: utime and stime of proc_pid_stat(5), in hundredths of a second. */
async function liveStatsPercent(): Promise<number> {
  const seconds = isQuick ? 5 : 20;
  const live = Bun.spawn([CTR, "stats"], { env: { ...process.env, ...ctrEnv }, stdin: "ignore", stdout: "ignore" });
  const ticks = () => {
    const fields = kernelFile(`/proc/${live.pid}/stat`).split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  await Bun.sleep(3000);
  const before = ticks();
  await Bun.sleep(seconds * 1000);
  const used = ticks() - before;
  live.kill("SIGKILL");
  await live.exited;
  return used / seconds;
}

for (const peer of engines) {
  const ids = output(peer, ["ps", "-aq"]).split("\n");
  call(peer, ["rm", "-f", ...ids]);
}

/** A container on the bridge that runs, as long as nobody removes it; then how long that takes. */
function removeRunning(peer: Peer, round: number): number {
  call(peer, ["run", "-d", "--name", `removed-${round}`, "minimal", "probe", "pause"]);
  return call(peer, ["rm", "-f", `removed-${round}`]);
}

keep({
  what: "rm -f of a running container",
  unit: "ms",
  aim: "docker / 4",
  values: alternate(engines, ROUNDS, removeRunning),
});

/** In a store of its own: the images of the other rows are few. */
const manyImages: Peer = { ...ctr, env: { CTR_ROOT: `${home}/many/root`, CTR_STATE: `${home}/many/state` } };
await writeManyImages(`${home}/many.tar`, 500);
call(manyImages, ["load", "-q", "-i", `${home}/many.tar`]);
keep({
  what: "images with 500 images",
  unit: "ms",
  aim: "≤ 10",
  values: alternate([manyImages], ROUNDS, (peer) => call(peer, ["images"])),
});

/** 32 runs, 4 at a time: containers a second. */
async function rate(peer: Peer): Promise<number> {
  const started = performance.now();
  let next = 0;
  const worker = async () => {
    while (next++ < 32) {
      const child = Bun.spawn([...peer.command, "run", "--rm", "minimal", "/bin/true"], {
        env: { ...process.env, ...peer.env },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      if ((await child.exited) !== 0) throw new Error(`${peer.name}: a run of 32 failed`);
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  return 32_000 / (performance.now() - started);
}

const rates = new Map<string, number[]>();
for (let round = 0; round < (isQuick ? 1 : 3); round++) {
  for (const peer of engines) rates.set(peer.name, [...(rates.get(peer.name) ?? []), await rate(peer)]);
}
keep({
  what: "32 runs, 4 at a time",
  unit: "/s",
  aim: "docker × 8",
  isRate: true,
  values: new Map([...rates].map(([name, numbers]) => [name, median(numbers)])),
});

/** Lines of 100 bytes from a container into its log, then from the log to a reader: MB a second each, nothing lost. */
const LOG_LINES = isQuick ? 200_000 : 500_000;
const LOG_BYTES = LOG_LINES * 100;
function logRates(options: readonly string[], into: string, from: string): void {
  const written = new Map<string, number[]>();
  const read = new Map<string, number[]>();
  const keepRate = (rates: Map<string, number[]>, { name }: Peer, tookMs: number) =>
    rates.set(name, [...(rates.get(name) ?? []), LOG_BYTES / 1000 / tookMs]);
  const program = ["minimal", "probe", "lines", String(LOG_LINES), "100"];
  for (let round = 0; round < (isQuick ? 1 : 3); round++) {
    for (const peer of engines) {
      const started = performance.now();
      const id = output(peer, ["run", "-d", "--network", "none", ...options, ...program]);
      call(peer, ["wait", id]);
      keepRate(written, peer, performance.now() - started);
      const reading = performance.now();
      const reader = Bun.spawnSync([...peer.command, "logs", id], {
        env: { ...process.env, ...peer.env },
        stdout: "pipe",
        stderr: "ignore",
      });
      keepRate(read, peer, performance.now() - reading);
      if (reader.stdout.length !== LOG_BYTES) {
        console.log(`log-lost ${peer.name} ${LOG_BYTES - reader.stdout.length} bytes`);
      }
      call(peer, ["rm", "-f", id]);
    }
  }
  const medians = (taken: ReadonlyMap<string, readonly number[]>) =>
    new Map([...taken].map(([name, numbers]) => [name, median(numbers)]));
  keep({ what: into, unit: "MB/s", aim: "docker × 3", isRate: true, values: medians(written) });
  keep({ what: from, unit: "MB/s", aim: "docker × 3", isRate: true, values: medians(read) });
}
logRates([], "container to log", "log to reader");
logRates(
  ["--log-opt", "max-size=10m", "--log-opt", "max-file=100"],
  "container to rotated log",
  "rotated log to reader",
);

/** Private memory of a process in MB (smaps_rollup of proc(5)): what would be free without it. */
function privateMemory(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return (
    [...text.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB/gm)].reduce((sum, match) => sum + Number(match[1]), 0) / 1000
  );
}

/** Context switches so far of each thread of a process. */
function switches(pid: number): ReadonlyMap<string, number> {
  const threads = readdirSync(`/proc/${pid}/task`);
  return new Map(
    threads.map((thread) => {
      const status = kernelFile(`/proc/${pid}/task/${thread}/status`);
      const counts = [...status.matchAll(/voluntary_ctxt_switches:\s+(\d+)/g)];
      return [thread, counts.reduce((sum, match) => sum + Number(match[1]), 0)];
    }),
  );
}

/** Switches since `before`; a thread that ended meanwhile woke up at least once to do so. */
function wakeups(pid: number, before: ReadonlyMap<string, number>): number {
  const now = switches(pid);
  const ended = [...before.keys()].filter((thread) => !now.has(thread)).length;
  return [...now].reduce((sum, [thread, count]) => sum + count - (before.get(thread) ?? 0), ended);
}

/** The pids of one role of ctr's. */
function roles(word: string): readonly number[] {
  return processes()
    .filter((found) => found.command.split(" ")[1] === word && found.command.startsWith("ctr ") && found.state !== "Z")
    .map((found) => found.pid);
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

const role = (word: string) => roles(word)[0];
const named = (word: string) => processes().find((found) => found.command.split(" ")[0]?.endsWith(word))?.pid;

for (const peer of engines) call(peer, ["run", "-d", "--name", "idle", "-p", "80", "minimal", "probe", "pause"]);
const supervisor = await waitFor("a supervisor", () => role("supervisor"));
const netd = await waitFor("netd", () => role("netd"));
await Bun.sleep(isQuick ? 5_000 : 30_000); // what a process does after its start is not what it does when idle
const before = { supervisor: switches(supervisor), netd: switches(netd) };
await Bun.sleep(10_000);
const memory = (pairs: readonly (readonly [string, number | undefined])[]) =>
  new Map(pairs.flatMap(([name, pid]) => (pid === undefined ? [] : [[name, privateMemory(pid)] as const])));
keep({
  what: "idle supervisor, private memory",
  unit: "MB",
  aim: "≤ 6",
  values: memory([
    ["ctr", supervisor],
    ["docker", named("containerd-shim-runc-v2")],
    ["podman", named("conmon")],
  ]),
});
keep({
  what: "idle netd, private memory",
  unit: "MB",
  aim: "≤ 20",
  values: memory([
    ["ctr", netd],
    ["docker", named("dockerd")],
  ]),
});
keep({
  what: "wake-ups of supervisor in 10 s",
  unit: "",
  aim: "0",
  values: new Map([["ctr", wakeups(supervisor, before.supervisor)]]),
});
keep({
  what: "wake-ups of netd in 10 s",
  unit: "",
  aim: "0",
  values: new Map([["ctr", wakeups(netd, before.netd)]]),
});
for (const peer of engines) call(peer, ["rm", "-f", "idle"]);

const columns = [...engines, ...runtimes].map((peer) => peer.name);

/** A peer's number and how many times better ctr is. */
function cell(row: Row, name: string): string {
  const value = row.values.get(name);
  const own = row.values.get("ctr");
  if (value === undefined || own === undefined) return "–";
  const shown = `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${row.unit}`.trim();
  if (name === "ctr") return shown;
  const ratio = row.isRate === true ? own / value : value / own;
  return `${shown} (${ratio.toFixed(1)}×)`;
}

const table = [
  `| | aim | ${columns.join(" | ")} |`,
  `|---|---|${columns.map(() => "---:|").join("")}`,
  ...rows.map((row) => `| ${row.what} | ${row.aim} | ${columns.map((name) => cell(row, name)).join(" | ")} |`),
].join("\n");
console.log(`\n${table}`);

keepTable(
  "run",
  table,
  [...engines, ...runtimes].map(({ command }) => versionOf(command[0] ?? "")),
);
