/**
 * `ctr oci` beside runc and crun, with the same bundle: run, exec, state, the memory of a container that was created; and
 * `docker run` with each as dockerd's runtime. Alternating rounds, medians. One number per line, then the table;
 * `--write` keeps it in docs/performance.md.
 *
 *   scripts/bench oci
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { imageArchive } from "../lib/engine.ts";
import { kernelFile, requirePrivateHost } from "../lib/host.ts";
import { waitFor } from "../lib/wait.ts";
import { keepTable, versionOf } from "./page.ts";

requirePrivateHost();
const ROUNDS = process.argv.includes("--quick") ? 5 : 25;
const CTR = `${import.meta.dir}/../../dist/ctr`;
const home = process.env["CTR_BENCH_HOME"] ?? mkdtempSync("/tmp/ctr-b-");
const archive = imageArchive("minimal");

interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
}

const candidates: readonly Runtime[] = [
  { name: "ctr", command: [CTR, "oci", "--root", `${home}/ctr-state`] },
  { name: "runc", command: ["runc", "--root", `${home}/runc-state`] },
  { name: "crun", command: ["crun", "--root", `${home}/crun-state`] },
];
const runtimes = candidates.filter(({ command: [program = ""] }) => Bun.which(program) !== null);

function call(command: readonly string[]): { readonly ms: number; readonly stdout: string } {
  const startedMs = performance.now();
  // A file: a container that goes on would keep a pipe open.
  const output = `${home}/output`;
  rmSync(output, { force: true });
  const child = Bun.spawnSync([...command], {
    stdin: "ignore",
    stdout: Bun.file(output),
    stderr: Bun.file(`${output}.err`),
  });
  const ms = performance.now() - startedMs;
  if (child.exitCode !== 0) throw new Error(`${command.join(" ")}: ${readFileSync(`${output}.err`, "utf8")}`);
  return { ms, stdout: readFileSync(output, "utf8") };
}

const oci = ({ command }: Runtime, ...words: readonly string[]) => call([...command, ...words]);

/** A bundle of runc's example, which all three carry out; each container has a cgroup of its own. */
function bundle(name: string, args: readonly string[]): string {
  const directory = `${home}/${name}`;
  mkdirSync(directory);
  call(["runc", "spec", "--bundle", directory]);
  const config = JSON.parse(readFileSync(`${directory}/config.json`, "utf8"));
  config.process.args = args;
  config.process.terminal = false;
  config.root.path = `${home}/rootfs`;
  config.linux.cgroupsPath = `${process.env["CTR_CGROUP_PARENT"]}/${name}`;
  config.mounts = config.mounts.filter(({ type }: { type: string }) => type !== "cgroup");
  writeFileSync(`${directory}/config.json`, JSON.stringify(config));
  return directory;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Medians by name, measured in turns. */
function alternating<T extends { readonly name: string }>(peers: readonly T[], once: (peer: T) => number): Numbers {
  const taken = new Map(peers.map((peer) => [peer.name, [] as number[]]));
  for (const peer of peers) once(peer);
  for (let round = 0; round < ROUNDS; round++) for (const peer of peers) taken.get(peer.name)?.push(once(peer));
  return Object.fromEntries([...taken].map(([name, values]) => [name, median(values)]));
}

type Numbers = { readonly [peer: string]: number };

const rows: { readonly what: string; readonly unit: string; readonly aim: string; readonly numbers: Numbers }[] = [];

function row(what: string, unit: string, aim: string, numbers: Numbers): void {
  rows.push({ what, unit, aim, numbers });
  for (const [name, value] of Object.entries(numbers)) console.log(`${what}, ${name}: ${value.toFixed(1)} ${unit}`);
}

mkdirSync(`${home}/rootfs`);
call(["tar", "-C", `${home}/rootfs`, "-xf", archive]);
const once = bundle("once", ["/bin/true"]);
const long = runtimes.map((runtime) => ({
  ...runtime,
  directory: bundle(`long-${runtime.name}`, ["/bin/sleep", "1000"]),
}));

row(
  "run of a bare bundle",
  "ms",
  "< runc, crun × 1.5",
  alternating(runtimes, (runtime) => oci(runtime, "run", "--bundle", once, "b").ms),
);
for (const one of long) oci(one, "run", "--detach", "--bundle", one.directory, "long");
row(
  "exec",
  "ms",
  "crun × 1.5",
  alternating(long, (one) => oci(one, "exec", "long", "/bin/true").ms),
);
row(
  "state",
  "ms",
  "6",
  alternating(long, (one) => oci(one, "state", "long").ms),
);
for (const one of long) oci(one, "delete", "--force", "long");

const memory: { [name: string]: number } = {};
for (const one of long) {
  oci(one, "create", "--bundle", one.directory, "waits");
  const { pid }: { readonly pid: number } = JSON.parse(oci(one, "state", "waits").stdout);
  memory[one.name] = Number(/^Private_Dirty:\s+(\d+)/m.exec(kernelFile(`/proc/${pid}/smaps_rollup`))?.[1]) / 1024;
  oci(one, "delete", "--force", "waits");
}
row("private memory of a created container", "MB", "8", memory);

if (process.env["DOCKER_HOST"] !== undefined) {
  call(["docker", "import", archive, "min"]);
  await waitFor("dockerd", () => Bun.spawnSync(["docker", "version"]).exitCode === 0);
  const peers = ["ctr", "runc"].map((name) => ({ name }));
  const run = ({ name }: { readonly name: string }) =>
    call(["docker", "run", "--rm", "--network", "none", "--runtime", name, "min", "true"]).ms;
  row("docker run", "ms", "runc", alternating(peers, run));
}

const names = runtimes.map(({ name }) => name);
const table = [
  `| | ${names.join(" | ")} | aim |`,
  `| --- | ${names.map(() => "--- | ").join("")}--- |`,
  ...rows.map(({ what, unit, aim, numbers }) => {
    const cells = names.map((name) => (numbers[name] === undefined ? "–" : `${numbers[name].toFixed(1)} ${unit}`));
    return `| ${what} | ${cells.join(" | ")} | ${aim} |`;
  }),
].join("\n");
console.log(`\n${table}`);
keepTable("oci", table, ["runc", "crun", "docker"].filter((name) => Bun.which(name) !== null).map(versionOf));
