/**
 * What the default filter costs a cheap system call: getppid, which it always allows, and personality, whose argument it
 * looks at. In containers with and without it, of ctr and, if DOCKER_HOST is set, of docker, whose filter is runc's with
 * libseccomp. Then what it costs a start. Rounds alternate; medians. One number per line, then the table.
 *
 *   scripts/bench seccomp [--write]
 */
import { mkdtempSync } from "node:fs";
import { compileHere, defaultSeccomp } from "../../internal/security/seccomp/on-demand.ts";
import { imageArchive } from "../lib/engine.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { keepTable, versionOf } from "./page.ts";

requirePrivateHost();
const ROUNDS = 15;
const OWN_STARTS = 200;
// So few that the time of most is not another process's.
const CALLS = 200;
const home = process.env["CTR_BENCH_HOME"] ?? mkdtempSync("/tmp/ctr-b-");
const CTR = `${import.meta.dir}/../../dist/ctr`;
const UNFILTERED = ["--security-opt", "seccomp=unconfined"];

const peers = [
  { name: "ctr", command: CTR, env: { CTR_ROOT: `${home}/root`, CTR_STATE: `${home}/state` } },
  ...(process.env["DOCKER_HOST"] === undefined ? [] : [{ name: "docker", command: "docker", env: {} }]),
];
type Peer = (typeof peers)[number];

function call({ command, env }: Peer, ...operands: readonly string[]): string {
  const ran = Bun.spawnSync([command, ...operands], { env: { ...process.env, ...env }, stdin: "ignore" });
  if (ran.exitCode !== 0) throw new Error(`${command} ${operands.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString().trim();
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}

const probe = `${home}/seccomp-probe`;
const source = `${import.meta.dir}/../lib/seccomp-probe.c`;
const made = Bun.spawnSync(["gcc", "-std=gnu11", "-O2", "-static", "-o", probe, source]);
if (made.exitCode !== 0) throw new Error(made.stderr.toString());

const archive = imageArchive("minimal");
const containers = peers.flatMap((peer) => {
  call(peer, "import", archive, "minimal");
  const start = (...flags: readonly string[]) =>
    call(
      peer,
      "run",
      "-d",
      "--network",
      "none",
      "-v",
      `${probe}:/bin/seccomp-probe:ro`,
      ...flags,
      "minimal",
      "probe",
      "pause",
    );
  return [
    { peer, id: start(), isFiltered: true },
    { peer, id: start(...UNFILTERED), isFiltered: false },
  ];
});

/** Median nanoseconds of a call, by container. */
function measure(name: string): readonly number[] {
  const taken = containers.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, { peer, id }] of containers.entries()) {
      taken[at]?.push(Number(call(peer, "exec", id, "seccomp-probe", name, `${CALLS}`)));
    }
  }
  return taken.map(median);
}

const rows: string[] = [];
for (const [name, aim] of [
  ["getppid", "≤ 100"],
  ["personality", ""],
] as const) {
  const medians = measure(name);
  const of = (wanted: string, isFiltered: boolean): number =>
    medians[containers.findIndex(({ peer, isFiltered: has }) => peer.name === wanted && has === isFiltered)] ??
    Number.NaN;
  const cells = peers.map(({ name: peer }) => {
    const [without, filtered] = [of(peer, false), of(peer, true)];
    console.log(
      `${name} ${peer}: ${without.toFixed(1)} ns without, ${filtered.toFixed(1)} ns with, ${(filtered - without).toFixed(1)} ns added`,
    );
    return `${(filtered - without).toFixed(0)} ns on ${without.toFixed(0)} ns`;
  });
  rows.push(`| added to ${name} | ${aim} | ${cells.join(" | ")} |`);
}

/** Milliseconds of a start. */
function startTime(peer: Peer, flags: readonly string[]): number {
  const from = performance.now();
  call(peer, "run", "--rm", "--network", "none", ...flags, "minimal", "true");
  return performance.now() - from;
}

// A start varies by more than what is looked for: many pairs, each in the other order than the one before, and the median of
// their differences. The peer's figure is there for comparison only.
const startCells = peers.map((peer, at) => {
  const pairs = Array.from({ length: at === 0 ? OWN_STARTS : ROUNDS }, (_, round) => {
    if (round % 2 === 0) return { without: startTime(peer, UNFILTERED), filtered: startTime(peer, []) };
    const filtered = startTime(peer, []);
    return { without: startTime(peer, UNFILTERED), filtered };
  });
  const without = median(pairs.map((pair) => pair.without));
  const added = median(pairs.map((pair) => pair.filtered - pair.without));
  console.log(`run ${peer.name}: ${without.toFixed(1)} ms without, ${added.toFixed(2)} ms added`);
  return `${added.toFixed(1)} ms on ${without.toFixed(0)} ms`;
});
rows.push(`| added to run --rm true | ≤ 1 ms | ${startCells.join(" | ")} |`);

const compiling = Array.from({ length: ROUNDS }, () => {
  const from = performance.now();
  compileHere(defaultSeccomp(["CAP_SYS_ADMIN"]));
  return performance.now() - from;
});
console.log(`compile: ${median(compiling).toFixed(2)} ms`);
rows.push(
  `| compiling it where it is not built in | | ${[`${median(compiling).toFixed(1)} ms`, ...peers.slice(1).map(() => "–")].join(" | ")} |`,
);
for (const { peer, id } of containers) call(peer, "rm", "-f", id);

const table = [
  `| | aim | ${peers.map(({ name }) => name).join(" | ")} |`,
  `|---|---|${peers.map(() => "---:|").join("")}`,
  ...rows,
].join("\n");
console.log(`\n${table}`);
keepTable(
  "seccomp",
  table,
  peers.map(({ command }) => versionOf(command)),
);
