/**
 * The network beside Docker's: what an attach costs netd, what a run on a network costs and what a published port adds,
 * and what goes through, with rounds that alternate between the engines. Runs inside scripts/private-host, dockerd is
 * there if DOCKER_HOST is set:
 *
 *   scripts/bench network [--quick] [--write] [--only attach|dns|run|throughput]
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { PortRequest } from "../../internal/ipc/netd.ts";
import { connectNetd, type NetdClient } from "../../internal/ipc/netd-client.ts";
import { imageArchive } from "../lib/engine.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { holdNamespace } from "../lib/namespace.ts";
import { waitFor } from "../lib/wait.ts";
import { keepTable, versionOf } from "./page.ts";

requirePrivateHost();
const isQuick = process.argv.includes("--quick");
const ROUNDS = isQuick ? 7 : 25;
const ATTACHES = isQuick ? 15 : 50;
const PRESENT = 200;
/** Many short ones in turns: what else the machine does changes from second to second, and hits both. */
const IPERF_ROUNDS = isQuick ? 5 : 40;
const IPERF_SECONDS = 1;
const at = process.argv.indexOf("--only");
const only = at < 0 ? undefined : process.argv[at + 1];
const isWanted = (part: "attach" | "dns" | "run" | "throughput") => only === undefined || only === part;
const CTR = `${import.meta.dir}/../../dist/ctr`;
const home = mkdtempSync(`${process.env["CTR_TEST_HOME"] ?? "/tmp"}/net-`);

interface Peer {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: { readonly [name: string]: string };
}

const ctr: Peer = { name: "ctr", command: [CTR], env: { CTR_ROOT: `${home}/root`, CTR_STATE: `${home}/state` } };
const peers: Peer[] = [ctr];
if (process.env["DOCKER_HOST"] !== undefined) peers.push({ name: "docker", command: ["docker"], env: {} });

function call(peer: Peer, ...operands: readonly string[]): { readonly ms: number; readonly output: string } {
  const started = performance.now();
  const child = Bun.spawnSync([...peer.command, ...operands], {
    env: { ...process.env, ...peer.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  });
  const ms = performance.now() - started;
  if (child.exitCode !== 0)
    throw new Error(`${peer.name} ${operands.join(" ")}: ${child.exitCode} ${child.stderr.toString().trim()}`);
  return { ms, output: child.stdout.toString().trim() };
}

const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

/** Every peer in turn, round after round; the first round warms up. */
function alternate(rounds: number, measure: (peer: Peer) => number): ReadonlyMap<string, number> {
  const taken = new Map<string, number[]>(peers.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const peer of peers) {
      const value = measure(peer);
      if (round > 0) taken.get(peer.name)?.push(value);
    }
  }
  return new Map([...taken].map(([name, numbers]) => [name, median(numbers)]));
}

interface Row {
  readonly what: string;
  readonly aim: string;
  readonly unit: string;
  readonly values: ReadonlyMap<string, number>;
  /** True where more is better. */
  readonly isRate?: boolean;
  /** Of what was measured side by side: median and quartiles of ctr's value by the other's, round by round. */
  readonly ratio?: Ratio;
}

interface Ratio {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

function ratioOf(own: readonly number[], others: readonly number[]): Ratio {
  const each = own.map((value, round) => value / (others[round] ?? Number.NaN)).sort((a, b) => a - b);
  const quantile = (part: number) => each[Math.floor(each.length * part)] ?? Number.NaN;
  return { median: quantile(0.5), low: quantile(0.25), high: quantile(0.75) };
}

const rows: Row[] = [];
function keep(row: Row): void {
  rows.push(row);
  for (const [name, value] of row.values)
    console.log(`${row.what.replaceAll(" ", "-")} ${name} ${value.toFixed(2)} ${row.unit}`);
  if (row.ratio !== undefined) console.log(`${row.what.replaceAll(" ", "-")} by-round ${shownRatio(row.ratio)}`);
}
const shownRatio = ({ median, low, high }: Ratio) =>
  `${median.toFixed(3)}×, half of the rounds ${low.toFixed(2)} to ${high.toFixed(2)}`;
const ofCtr = (value: number) => new Map([["ctr", value]]);

interface Times {
  readonly attach: number;
  /** From its answer until the container's name server listens. */
  readonly served: number;
  readonly detach: number;
}

/** netd's own time, from a request on an open connection to its answer, asked as a supervisor does. */
async function attaches(netd: NetdClient, network: string, ports: readonly PortRequest[]): Promise<Times> {
  const times: Times[] = [];
  for (let at = 0; at < ATTACHES; at++) {
    const sandbox = await holdNamespace();
    const containerId = `measured-${at}`;
    const began = performance.now();
    const request = { containerId, name: containerId, sandbox: { pid: sandbox.pid }, network, ports };
    await netd.attach({ ...request, isServedLater: true });
    const attached = performance.now();
    await netd.served(containerId);
    const served = performance.now();
    await netd.detach(containerId);
    times.push({ attach: attached - began, served: served - attached, detach: performance.now() - served });
    sandbox.kill("SIGKILL");
    await sandbox.exited;
    // The kernel takes the link away in its own time, which is not the next attach's.
    await waitFor("the namespace to end", () => !links().some((name) => name.startsWith("veth") && !filled.has(name)));
  }
  return {
    attach: median(times.map(({ attach }) => attach)),
    served: median(times.map(({ served }) => served)),
    detach: median(times.map(({ detach }) => detach)),
  };
}

const filled = new Set<string>();
function links(): string[] {
  const lines = readFileSync("/proc/self/net/dev", "utf8").trim().split("\n").slice(2);
  return lines.map((line) => line.split(":")[0]?.trim() ?? "");
}

/** So many endpoints, in one namespace: a process each would be the bench's cost. */
async function fill(netd: NetdClient, network: string): Promise<Bun.Subprocess> {
  const sandbox = await holdNamespace();
  const inside = ["nsenter", "--net", "-t", String(sandbox.pid), "--", "ip", "link", "set", "eth0", "name"];
  for (let at = 0; at < PRESENT; at++) {
    const containerId = `present-${at}`;
    const request = { containerId, name: containerId, sandbox: { pid: sandbox.pid }, network, ports: [] };
    filled.add((await netd.attach(request)).hostInterface);
    // The next one's eth0 is to be born there too.
    if (Bun.spawnSync([...inside, `x${at}`]).exitCode !== 0) throw new Error("rename");
  }
  return sandbox;
}

async function measureAttach(): Promise<void> {
  const directories = { root: `${home}/netd-root`, state: `${home}/netd-state` };
  const env = { ...process.env, CTR_ROOT: directories.root, CTR_STATE: directories.state };
  const process_ = Bun.spawn([CTR, "netd"], { env, stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  const netd = await waitFor("netd", () => connectNetd(directories));
  const network = await netd.createNetwork({
    name: "bench",
    driver: "bridge",
    isInternal: false,
    isAttachable: false,
    hasIpv6: false,
    labels: {},
    options: {},
    ipamOptions: {},
    pools: [],
  });
  const port: readonly PortRequest[] = [{ containerPort: 80, protocol: "tcp" }];
  const empty = await attaches(netd, network.name, []);
  const emptyPort = await attaches(netd, network.name, port);
  const present = await fill(netd, network.name);
  const full = await attaches(netd, network.name, []);
  const fullPort = await attaches(netd, network.name, port);
  const row = (what: string, aim: string, value: number) => keep({ what, aim, unit: "ms", values: ofCtr(value) });
  row("attach, no other endpoints", "≤ 4", empty.attach);
  row(`attach, ${PRESENT} endpoints present`, "≤ 4, ≤ twice", full.attach);
  row("its name server, while init is at work", "", empty.served);
  row(`the same, ${PRESENT} endpoints present`, "", full.served);
  row("detach, no other endpoints", "", empty.detach);
  row(`detach, ${PRESENT} endpoints present`, "", full.detach);
  row(
    "attach and detach with a published port, more",
    "",
    emptyPort.attach + emptyPort.detach - empty.attach - empty.detach,
  );
  row(
    `with a published port, ${PRESENT} endpoints present, more`,
    "",
    fullPort.attach + fullPort.detach - full.attach - full.detach,
  );
  const memory = () => {
    const text = readFileSync(`/proc/${process_.pid}/smaps_rollup`, "utf8");
    return (
      [...text.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB/gm)].reduce((sum, found) => sum + Number(found[1]), 0) /
      1000
    );
  };
  const switches = () =>
    [...readFileSync(`/proc/${process_.pid}/status`, "utf8").matchAll(/voluntary_ctxt_switches:\s+(\d+)/g)].reduce(
      (sum, found) => sum + Number(found[1]),
      0,
    );
  await Bun.sleep(isQuick ? 5_000 : 30_000); // what a process does after work is not what it does when idle
  const before = switches();
  await Bun.sleep(10_000);
  keep({
    what: `wake-ups of netd with ${PRESENT} endpoints in 10 s`,
    aim: "0",
    unit: "",
    values: ofCtr(switches() - before),
  });
  keep({ what: `private memory of netd with ${PRESENT} endpoints`, aim: "≤ 20", unit: "MB", values: ofCtr(memory()) });
  netd[Symbol.dispose]();
  process_.kill("SIGTERM");
  present.kill("SIGKILL");
  await Promise.all([process_.exited, present.exited]);
}

/** Gigabits a second by iperf3, from a process in `from`'s network namespace to a server in `to`'s. */
async function throughput(from: string, to: string, address: string, port: number): Promise<number> {
  const enter = (pid: string) => (pid === "" ? [] : ["nsenter", "--net", "-t", pid, "--"]);
  const server = Bun.spawn([...enter(to), "iperf3", "-s", "-1", "--forceflush", "-p", "5201"], {
    stdin: "ignore",
    stdout: "pipe",
  });
  for await (const chunk of server.stdout) if (new TextDecoder().decode(chunk).includes("listening")) break;
  const client = Bun.spawnSync(
    [...enter(from), "iperf3", "-J", "-t", String(IPERF_SECONDS), "-c", address, "-p", String(port)],
    { stdin: "ignore", timeout: 30_000 },
  );
  await server.exited;
  const report = JSON.parse(client.stdout.toString());
  if (report.error !== undefined) throw new Error(`iperf3 to ${address}:${port}: ${report.error}`);
  return report.end.sum_received.bits_per_second / 1e9;
}

interface Pair {
  readonly client: string;
  readonly server: string;
  readonly address: string;
  /** A port of the host's. */
  readonly published: number;
}

async function measureThroughput(): Promise<void> {
  const pairs = new Map<string, Pair>();
  for (const peer of peers) {
    const run = ["run", "-d", "--network", "bench"];
    call(peer, ...run, "--name", "client", "minimal", "probe", "pause");
    const published = peer === ctr ? 15201 : 15202;
    call(peer, ...run, "--name", "server", "-p", `${published}:5201`, "minimal", "probe", "pause");
    const pid = (name: string) => call(peer, "inspect", "-f", "{{.State.Pid}}", name).output;
    const address = call(peer, "inspect", "-f", "{{.NetworkSettings.Networks.bench.IPAddress}}", "server").output;
    pairs.set(peer.name, { client: pid("client"), server: pid("server"), address, published });
  }
  // Another machine, on a wire.
  const outside = await holdNamespace();
  const ip = (...words: string[]) => {
    if (Bun.spawnSync(["ip", ...words]).exitCode !== 0) throw new Error(`ip ${words.join(" ")}`);
  };
  ip("link", "add", "wire", "type", "veth", "peer", "name", "wire-peer", "netns", String(outside.pid));
  ip("address", "add", "10.99.0.1/24", "dev", "wire");
  ip("link", "set", "wire", "up");
  const there = (...words: string[]) => {
    const ran = Bun.spawnSync(["nsenter", "--net", "-t", String(outside.pid), "--", "ip", ...words]);
    if (ran.exitCode !== 0) throw new Error(`ip ${words.join(" ")}`);
  };
  there("address", "add", "10.99.0.2/24", "dev", "wire-peer");
  there("link", "set", "wire-peer", "up");

  const ways = [
    {
      what: "TCP from container to container",
      measure: async ({ client, server, address }: Pair) => await throughput(client, server, address, 5201),
    },
    {
      what: "TCP to a published port from another host",
      measure: async ({ server, published }: Pair) =>
        await throughput(String(outside.pid), server, "10.99.0.1", published),
    },
  ];
  for (const { what, measure } of ways) {
    const taken = new Map<string, number[]>(peers.map(({ name }) => [name, []]));
    for (let round = 0; round <= IPERF_ROUNDS; round++) {
      // Who is first has the machine as the round before left it.
      for (const { name } of round % 2 === 0 ? peers : peers.toReversed()) {
        const pair = pairs.get(name);
        if (pair === undefined) continue;
        const value = await measure(pair);
        if (round > 0) taken.get(name)?.push(value);
      }
    }
    const [own = [], others] = peers.map(({ name }) => taken.get(name) ?? []);
    keep({
      what,
      aim: "docker within 3 %",
      unit: "Gbit/s",
      isRate: true,
      values: new Map([...taken].map(([name, numbers]) => [name, median(numbers)])),
      ...(others === undefined ? {} : { ratio: ratioOf(own, others) }),
    });
  }
  for (const peer of peers) call(peer, "rm", "-f", "client", "server");
  outside.kill("SIGKILL");
}

/** What test/bench/dns.ts prints. */
function measureDns(): void {
  const ran = Bun.spawnSync([process.execPath, `${import.meta.dir}/dns.ts`], { stderr: "inherit" });
  const answers = Number(/dns answers\/s of a whole core (\d+)/.exec(ran.stdout.toString())?.[1]);
  keep({ what: "DNS answers on one core", aim: "≥ 20,000", unit: "/s", values: ofCtr(answers), isRate: true });
}

function measureRuns(): void {
  const run = (...flags: readonly string[]) => ["run", "--rm", ...flags, "minimal", "/bin/true"];
  const onNetwork = alternate(ROUNDS, (peer) => call(peer, ...run("--network", "bench")).ms);
  keep({ what: "run --rm on a network of a user's", aim: "docker / 10", unit: "ms", values: onNetwork });
  const more = alternate(ROUNDS, (peer) => {
    const without = call(peer, ...run("--network", "bench")).ms;
    return call(peer, ...run("--network", "bench", "-p", "80")).ms - without;
  });
  keep({ what: "a published port, more", aim: "≤ 6", unit: "ms", values: more });
}

mkdirSync(`${home}/root`);
try {
  if (isWanted("attach")) await measureAttach();
  if (isWanted("dns")) measureDns();
  for (const peer of peers) {
    call(peer, "import", imageArchive("minimal"), "minimal");
    call(peer, "network", "create", "bench");
  }
  if (isWanted("run")) measureRuns();
  if (isWanted("throughput")) await measureThroughput();

  const names = peers.map(({ name }) => name);
  const cell = ({ values, unit, isRate, ratio }: Row, name: string): string => {
    const [value, own] = [values.get(name), values.get("ctr")];
    if (value === undefined || own === undefined) return "–";
    const shown = `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`.trim();
    if (ratio !== undefined && name !== "ctr") return `${shown} (${shownRatio(ratio)})`;
    return name === "ctr" ? shown : `${shown} (${(isRate === true ? own / value : value / own).toFixed(2)}×)`;
  };
  const table = [
    `| | aim | ${names.join(" | ")} |`,
    `|---|---|${names.map(() => "---:|").join("")}`,
    ...rows.map((row) => `| ${row.what} | ${row.aim} | ${names.map((name) => cell(row, name)).join(" | ")} |`),
  ].join("\n");
  console.log(`\n${table}`);
  if (only === undefined)
    keepTable(
      "network",
      table,
      peers.map(({ command }) => versionOf(command[0] ?? "")),
    );
} finally {
  rmSync(home, { recursive: true, force: true });
}
