/**
 * `pull` beside `docker pull` from one local docker-registry: a Debian base and application layers, all gzip, and one
 * layer of 2 GB for the memory. Runs inside scripts/private-host, dockerd is there if DOCKER_HOST is set:
 *
 *   scripts/with-dockerd bun test/bench/pull.ts [--quick]
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { imageArchive } from "../lib/engine.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { waitFor } from "../lib/wait.ts";
import { keepTable, versionOf } from "./page.ts";

requirePrivateHost();
const isQuick = process.argv.includes("--quick");
const ROUNDS = isQuick ? 3 : 5;
const CTR = `${import.meta.dir}/../../dist/ctr`;
/** Made and removed by scripts/bench, in memory. */
const home = mkdtempSync(`${process.env["CTR_BENCH_HOME"] ?? process.env["CTR_TEST_HOME"] ?? "/tmp"}/pull-`);

function tool(...command: readonly string[]): string {
  const ran = Bun.spawnSync([...command], { stdin: "ignore" });
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString().trim();
}

interface Peer {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: { readonly [name: string]: string };
}

const ctr: Peer = { name: "ctr", command: [CTR], env: { CTR_ROOT: `${home}/root`, CTR_STATE: `${home}/state` } };
const peers: Peer[] = [ctr];
if (process.env["DOCKER_HOST"] !== undefined) peers.push({ name: "docker", command: ["docker"], env: {} });

interface Call {
  readonly ms: number;
  /** Peak resident memory of the command itself, in MB (getrusage(2)). */
  readonly peak: number;
}

async function call(peer: Peer, ...operands: readonly string[]): Promise<Call> {
  const started = performance.now();
  const child = Bun.spawn([...peer.command, ...operands], {
    env: { ...process.env, ...peer.env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [status, stderr] = await Promise.all([child.exited, child.stderr.text()]);
  const ms = performance.now() - started;
  if (status !== 0) throw new Error(`${peer.name} ${operands.join(" ")}: ${status} ${stderr}`);
  return { ms, peak: (child.resourceUsage()?.maxRSS ?? 0) / 1e6 };
}

const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

/** Starts a registry of this bench's own. */
async function startRegistry(): Promise<{ readonly host: string; end(): Promise<void> }> {
  const config = {
    version: 0.1,
    log: { level: "info", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: `${home}/registry` } },
    http: { addr: "127.0.0.1:0" },
  };
  writeFileSync(`${home}/registry.yml`, JSON.stringify(config)); // JSON is YAML
  const log = `${home}/registry.log`;
  const child = Bun.spawn(["docker-registry", "serve", `${home}/registry.yml`], {
    stdout: "ignore",
    stderr: Bun.file(log),
  });
  const port = await waitFor("docker-registry", async () => {
    if (child.exitCode !== null) throw new Error(`docker-registry ended: ${await Bun.file(log).text()}`);
    return /listening on [^\s"]*:(\d+)/.exec(await Bun.file(log).text())?.[1];
  });
  return {
    host: `127.0.0.1:${port}`,
    async end() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** Pushes an image of these layer archives, compressed as skopeo does it. */
function publish(host: string, name: string, layers: readonly string[]): string {
  const directory = `${home}/${name}`;
  mkdirSync(directory);
  const digests = layers.map((layer) => `sha256:${tool("sha256sum", layer).slice(0, 64)}`);
  const config = {
    architecture: process.arch === "x64" ? "amd64" : "arm64",
    os: "linux",
    config: { Cmd: ["sh"] },
    rootfs: { type: "layers", diff_ids: digests },
  };
  writeFileSync(`${directory}/config.json`, JSON.stringify(config));
  const names = layers.map((layer, at) => {
    tool("mv", layer, `${directory}/${at}.tar`);
    return `${at}.tar`;
  });
  const manifest = [{ Config: "config.json", RepoTags: [`${name}:1`], Layers: names }];
  writeFileSync(`${directory}/manifest.json`, JSON.stringify(manifest));
  tool("tar", "-C", directory, "-cf", `${directory}.tar`, "manifest.json", "config.json", ...names);
  const target = `${host}/bench/${name}:1`;
  tool("skopeo", "copy", "-q", "--dest-tls-verify=false", `docker-archive:${directory}.tar`, `docker://${target}`);
  rmSync(directory, { recursive: true });
  rmSync(`${directory}.tar`);
  return target;
}

const rootfs = `${home}/rootfs`;
mkdirSync(rootfs);
tool("tar", "-C", rootfs, "-xf", imageArchive("debian"));
const marker = `${home}/marker`;
mkdirSync(marker);

/**
 * Debian, and its parts once more in layers above it, as an application's would be. Each round has layers of its own:
 * nothing has to be removed in between, which would slow the rounds after it (ext4 does not give out the inodes of
 * removed files for a minute, and searches long for others).
 */
function applicationLayers(round: number): string[] {
  const parts = [["."], ["usr/bin", "usr/sbin"], ["var/lib"], ["usr/share"]];
  return parts.map((paths, at) => {
    writeFileSync(`${marker}/round`, `${round}`);
    const archive = `${home}/part-${at}.tar`;
    tool("tar", "--numeric-owner", "-cf", archive, "-C", marker, "round", "-C", rootfs, ...paths);
    return archive;
  });
}

/**
 * One file of so many bytes that gzip makes a third of, as programs are. Made by a shell: what this process has had in
 * memory would count as the peak of every command it starts (getrusage(2), the child of a vfork(2) has its parent's).
 */
function largeLayer(mb: number): string {
  const directory = `${home}/large`;
  mkdirSync(directory);
  // A number before each copy, so that no two are the same.
  const copies = 'for n in $(seq 40); do echo "$n"; cat "$1"; done';
  tool("sh", "-c", `(${copies}) | head -c ${mb}M > ${directory}/file`, "copies", process.execPath);
  const size = statSync(`${directory}/file`).size;
  if (size !== mb * 1024 * 1024) throw new Error(`the large file has ${size} bytes`);
  tool("tar", "-C", directory, "-cf", `${home}/large.tar`, "file");
  rmSync(directory, { recursive: true });
  return `${home}/large.tar`;
}

const registry = await startRegistry();
try {
  const images = Array.from({ length: ROUNDS + 1 }, (_, round) =>
    publish(registry.host, `application-${round}`, applicationLayers(round)),
  );
  const taken = new Map<string, Call[]>(peers.map((peer) => [peer.name, []]));
  for (const [round, image] of images.entries()) {
    for (const peer of peers) {
      const measured = await call(peer, "pull", image);
      // The first round warms up.
      if (round > 0) taken.get(peer.name)?.push(measured);
    }
  }
  for (const [name, calls] of taken) {
    console.log(`pull-of-4-layers ${name} ${median(calls.map(({ ms }) => ms)).toFixed(0)} ms`);
  }
  const ms = (name: string) => median((taken.get(name) ?? []).map((one) => one.ms));
  if (taken.has("docker")) console.log(`pull-docker-over-ctr ${(ms("docker") / ms("ctr")).toFixed(2)} ×`);
  console.log(`pull-peak-memory ctr ${Math.max(...(taken.get("ctr") ?? []).map(({ peak }) => peak)).toFixed(0)} MB`);
  const large = publish(registry.host, "large", [largeLayer(isQuick ? 512 : 2048)]);
  const measured = await call(ctr, "pull", large);
  console.log(`pull-of-${isQuick ? "512MB" : "2GB"}-layer ctr ${(measured.ms / 1000).toFixed(1)} s`);
  console.log(`pull-of-${isQuick ? "512MB" : "2GB"}-layer-peak-memory ctr ${measured.peak.toFixed(0)} MB`);
  const ratio = taken.has("docker") ? `${ms("docker").toFixed(0)} ms (${(ms("docker") / ms("ctr")).toFixed(1)}×)` : "–";
  const peak = Math.max(...(taken.get("ctr") ?? []).map((one) => one.peak));
  const table = [
    "| | aim | ctr | docker |",
    "|---|---|---:|---:|",
    `| pull of 4 layers, gzip | docker / 3; ≤ 150 MB | ${ms("ctr").toFixed(0)} ms, peak ${peak.toFixed(0)} MB | ${ratio} |`,
    `| pull of one layer of ${isQuick ? "512 MB" : "2 GB"} | ≤ 150 MB | ${(measured.ms / 1000).toFixed(1)} s, peak ${measured.peak.toFixed(0)} MB | – |`,
  ].join("\n");
  keepTable(
    "pull",
    table,
    peers.map(({ command }) => versionOf(command[0] ?? "")),
  );
} finally {
  await registry.end();
  rmSync(home, { recursive: true, force: true });
}
