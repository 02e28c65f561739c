/**
 * Speed and memory of what is done with images beside the engines that are installed: import, load, save, commit of the
 * same files, and `tar` as the floor. Rounds alternate, a number is their median. Runs inside scripts/private-host
 * (`scripts/bench images` does that, in memory); dockerd is there if DOCKER_HOST is set.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { imageArchive } from "../lib/engine.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { keepTable, versionOf } from "./page.ts";

requirePrivateHost();
/** Rounds that count; before them one warms up. */
const ROUNDS = process.argv.includes("--quick") ? 1 : 3;
/** It takes longest, and an order of size is all that is asked of it: one round, not warmed up. */
const PODMAN_ROUNDS = 1;
const CTR = process.env["CTR_BENCH_BIN"] ?? `${import.meta.dir}/../../dist/ctr`;
/** Made and removed by scripts/bench. */
const home = process.env["CTR_BENCH_HOME"] ?? mkdtempSync("/tmp/ctr-bi-");

interface Ran {
  readonly ms: number;
  readonly peakMb: number;
  readonly stdout: string;
}

/** Runs a command to its end; it must succeed. */
async function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const started = performance.now();
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const ms = performance.now() - started;
  if (status !== 0) throw new Error(`${command.join(" ")}: ${status} ${stderr.trim()}`);
  return { ms, peakMb: (child.resourceUsage()?.maxRSS ?? 0) / 1e6, stdout: stdout.trim() };
}

let count = 0;
const fresh = (name: string) => `${home}/${name}-${count++}`;

const archive = imageArchive("flask");
const ctrEnv = (root: string) => ({ CTR_ROOT: root, CTR_STATE: `${home}/state` });
const main = ctrEnv(`${home}/root`);
const hasDocker = process.env["DOCKER_HOST"] !== undefined;
const podman =
  Bun.which("podman") === null
    ? undefined
    : ["podman", "--root", `${home}/podman`, "--runroot", `${home}/podman-run`, "--events-backend", "none"];

if (podman !== undefined) await run([...podman, "info"]); // makes its store
await run([CTR, "import", "-c", 'CMD ["/bin/sh"]', archive, "bench"], main);
const saved = fresh("saved.tar");
await run([CTR, "save", "-o", saved, "bench"], main);

/** One way of doing something: prepared, measured, undone; `measure` gives milliseconds and the peak of memory. */
interface Way {
  readonly name: string;
  readonly measure: () => Promise<Ran>;
  /** Of the rounds that count, how many it takes part in. */
  readonly rounds?: number;
}

async function removed(engine: readonly string[], image: string): Promise<void> {
  await run([...engine, "rmi", "-f", image]);
}

function ways(ctr: Way["measure"], docker: Way["measure"], others: readonly Way[] = []): readonly Way[] {
  return [{ name: "ctr", measure: ctr }, ...(hasDocker ? [{ name: "docker", measure: docker }] : []), ...others];
}

const withPodman = (measure: (engine: readonly string[]) => Promise<Ran>): readonly Way[] =>
  podman === undefined ? [] : [{ name: "podman", measure: () => measure(podman), rounds: PODMAN_ROUNDS }];

const tar: Way = {
  name: "tar",
  async measure() {
    const place = fresh("untarred");
    mkdirSync(place);
    const ran = await run(["tar", "-C", place, "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", archive]);
    rmSync(place, { recursive: true });
    return ran;
  },
};

/** 5,000 files of 40 kB in 50 directories, made in a container: what `commit` has to write. */
const SCRIPT =
  "for d in $(seq 50); do mkdir -p /data/$d; head -c 4000000 /dev/urandom | split -b 40000 - /data/$d/; done";

async function changedContainer(
  engine: readonly string[],
  env: Readonly<Record<string, string>>,
  image: string,
): Promise<string> {
  const { stdout: id } = await run([...engine, "create", "--network", "none", image, "sh", "-c", SCRIPT], env);
  await run([...engine, "start", "-a", id], env);
  return id;
}

/** A command of ctr's on a store of its own, which is removed afterwards. */
async function inNewStore(...operands: readonly string[]): Promise<Ran> {
  const root = fresh("root");
  const ran = await run([CTR, ...operands], ctrEnv(root));
  rmSync(root, { recursive: true });
  return ran;
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

/** The engines of the table's columns. */
const COLUMNS = ["ctr", "docker", "podman", "tar"] as const;

/** Measures every way in turn, round after round; the first round warms up and does not count. The table's row. */
async function compare(what: string, aim: string, list: readonly Way[]): Promise<string> {
  const taken = new Map(list.map(({ name }) => [name, [] as Ran[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { name, measure, rounds = ROUNDS } of list) {
      if (round > rounds || (round === 0 && rounds < ROUNDS)) continue;
      const ran = await measure();
      if (round > 0) taken.get(name)?.push(ran);
    }
  }
  const own = median(taken.get("ctr")?.map(({ ms }) => ms) ?? []);
  const cells = COLUMNS.map((name) => {
    const runs = taken.get(name);
    if (runs === undefined) return "–";
    const ms = median(runs.map((one) => one.ms));
    const peak = Math.max(...runs.map(({ peakMb }) => peakMb));
    console.log(`${what.replaceAll(" ", "-")} ${name} ${ms.toFixed(0)} ms, peak ${peak.toFixed(0)} MB`);
    const seconds = `${(ms / 1000).toFixed(2)} s`;
    return name === "ctr" ? `${seconds}, peak ${peak.toFixed(0)} MB` : `${seconds} (${(ms / own).toFixed(2)}×)`;
  });
  return `| ${what} | ${aim} | ${cells.join(" | ")} |`;
}

const rows: string[] = [];
rows.push(
  await compare(
    "import 187 MB",
    "docker / 4; podman; tar × 1.2",
    ways(() => inNewStore("import", archive, "again"), async () => {
      const ran = await run(["docker", "import", archive, "again"]);
      await removed(["docker"], "again");
      return ran;
    }, [
      ...withPodman(async (engine) => {
        const ran = await run([...engine, "import", archive, "again"]);
        await removed(engine, "again");
        return ran;
      }),
      tar,
    ]),
  ),
);
rows.push(
  await compare(
    "load 187 MB",
    "docker / 4; tar × 1.2",
    ways(() => inNewStore("load", "-q", "-i", saved), async () => {
      const ran = await run(["docker", "load", "-q", "-i", saved]);
      await removed(["docker"], "bench");
      return ran;
    }, [
      ...withPodman(async (engine) => {
        const ran = await run([...engine, "load", "-q", "-i", saved]);
        await removed(engine, "bench");
        return ran;
      }),
      tar,
    ]),
  ),
);
if (hasDocker) await run(["docker", "load", "-q", "-i", saved]);
rows.push(
  await compare(
    "save 187 MB",
    "docker / 3",
    ways(
      () => run([CTR, "save", "-o", fresh("ctr.tar"), "bench"], main),
      () => run(["docker", "save", "-o", fresh("docker.tar"), "bench"]),
    ),
  ),
);

const container = await changedContainer([CTR], main, "bench");
const dockers = hasDocker ? await changedContainer(["docker"], {}, "bench") : "";
rows.push(
  await compare(
    "commit 5000 files 200 MB",
    "docker / 2",
    ways(
      () => run([CTR, "commit", container, `committed${count++}`], main),
      async () => {
        const ran = await run(["docker", "commit", dockers, "committed"]);
        await removed(["docker"], "committed");
        return ran;
      },
    ),
  ),
);
await run([CTR, "rm", container], main);
if (hasDocker) await run(["docker", "rm", dockers]);

/**
 * Memory: one layer of 2 GB, half of it one file, half of it many, that gzip makes half of, as programs are. It goes through pipes
 * where that is possible: memory that this machine has not used for a while is slow to come, and this would be most of the time.
 */
const large = fresh("large");
mkdirSync(`${large}/many`, { recursive: true });
// A number before each copy, so that no two are the same.
await run(["sh", "-c", `for n in $(seq 40); do echo "$n"; cat "$1"; done | head -c 1000M > ${large}/one`, "-", CTR]);
await run(["sh", "-c", `head -c 1000K "$1" > ${large}/part`, "-", CTR]);
await run(["sh", "-c", `for n in $(seq 1000); do ln -s ../part ${large}/many/$n; done`]);
/** Symbolic links become what they lead to. */
const TAR = `tar -C ${large} -ch one many`;
const piped = (...commands: readonly string[]) => ["bash", "-c", `set -eo pipefail; ${commands.join(" | ")}`];
const peaks: (readonly [string, Ran])[] = [];
const store = ctrEnv(fresh("two-gb"));
const other = ctrEnv(fresh("two-gb"));
peaks.push(["import", await run(piped(TAR, `${CTR} import - large`), store)]);
peaks.push(["save", await run(piped(`${CTR} save large`, "cat > /dev/null"), store)]);
peaks.push([
  "save and load",
  await run(piped(`${CTR} save large`, `CTR_ROOT=${other.CTR_ROOT} ${CTR} load -q`), store),
]);
rmSync(store.CTR_ROOT, { recursive: true });
rmSync(other.CTR_ROOT, { recursive: true });
const packed = fresh("large.tar.gz");
await run(piped(TAR, `${process.execPath} ${import.meta.dir}/gzip-members.ts > ${packed}`));
rmSync(large, { recursive: true });
peaks.push(["import of gzip", await inNewStore("import", packed, "large")]);
rmSync(packed);
for (const [what, { ms, peakMb }] of peaks)
  console.log(`2-GB-${what.replaceAll(" ", "-")} ctr ${ms.toFixed(0)} ms, peak ${peakMb.toFixed(0)} MB`);
rows.push(
  ...peaks.map(
    ([what, { ms, peakMb }]) =>
      `| ${what}, a layer of 2 GB | ≤ 150 MB | ${(ms / 1000).toFixed(1)} s, peak ${peakMb.toFixed(0)} MB | – | – | – |`,
  ),
);

const table = ["| | aim | ctr | docker | podman | tar -xf |", "|---|---|---:|---:|---:|---:|", ...rows].join("\n");
console.log(`\n${table}`);
keepTable(
  "images",
  table,
  [CTR, ...(hasDocker ? ["docker"] : []), ...(podman === undefined ? [] : ["podman"])].map(versionOf),
);
