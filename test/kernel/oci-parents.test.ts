/** `ctr oci` under those that call an OCI runtime: dockerd, containerd, podman; with their usual images and options. */
import { expect } from "bun:test";
import { rmSync } from "node:fs";
import type { DockerAnswers } from "../lib/docker-answers.ts";
import { testHome } from "../lib/home.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { binary, needs } from "../lib/needs.ts";
import { tempOciRuntime } from "../lib/oci-runtime.ts";
import { test } from "../lib/test.ts";

requirePrivateHost();
const HERE = import.meta.dir;
const { path } = tempOciRuntime();
const MINIMAL = Bun.spawnSync([`${HERE}/../images/make`, "minimal"])
  .stdout.toString()
  .trim();

/** crun and podman take the unified hierarchy of a hybrid machine for cgroup v2: here it is not there. */
const V1_ONLY = "umount /sys/fs/cgroup/unified 2> /dev/null";
/** Links, rules and mounts of a daemon are not those of the next test. */
const ALONE = ["unshare", "--mount", "--net", "--propagation", "private"];

async function answersOf(command: readonly string[], env: { readonly [name: string]: string } = {}): Promise<unknown> {
  const child = Bun.spawn([...command], { env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${stderr}${stdout}`);
  return JSON.parse(stdout);
}

/** A script of test/lib with a home of its own and an empty /run. */
async function inPrivate(script: string, ...words: readonly string[]): Promise<unknown> {
  const home = testHome("parent");
  try {
    const prepare = `${V1_ONLY}; mount -t tmpfs tmpfs /run && mount --bind "$1" "$1" && shift && exec "$@"`;
    const bun = [process.execPath, `${HERE}/../lib/${script}`, ...words, home];
    return await answersOf([...ALONE, "bash", "-c", prepare, "parent", home, ...bun]);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

test.if(needs("ctr", "dockerd", "cgroup-v1"))(
  "dockerd: with ctr as its default runtime it answers what it answers with runc, a swarm's services too",
  async () => {
    const script = `${V1_ONLY}; exec "$@"`;
    const bun = [process.execPath, `${HERE}/../lib/docker-answers.ts`, MINIMAL];
    const options = { CTR_DOCKERD_OPTIONS: `--add-runtime ctr=${path} --default-runtime ctr` };
    const withDockerd = [`${HERE}/../../scripts/with-dockerd`, "bash", "-c", script, "docker", ...bun];
    const command = [...ALONE, "bash", "-c", 'ip link set lo up && exec "$@"', "alone", ...withDockerd];
    // The parser is JSON's; what the script prints is this type.
    const { answers, swarm } = (await answersOf(command, options)) as DockerAnswers;
    expect(Object.keys(answers["ctr"] ?? {}).length).toBeGreaterThan(20);
    expect(answers["ctr"]).toEqual(answers["runc"] ?? {});
    expect(answers["ctr"]?.["health"]).toBe("healthy");
    expect(swarm).toEqual({ replicas: "2/2", scaled: "3/3", runtimes: ["ctr"] });
  },
  120_000,
);

test.if(needs("ctr", "podman"))(
  "podman: run, exec, terminal, pause, stop, start, rm, each with its status",
  async () => {
    expect(await inPrivate("podman-answers.ts", MINIMAL, path)).toEqual({
      echo: [0, "hello\n", ""],
      status: 42,
      input: "typed\n",
      missing: 127,
      notExecutable: 126,
      user: "1000\n/tmp\na\n",
      detached: 0,
      runtime: path,
      exec: [3, "0\n", ""],
      execMissing: 127,
      execTerminal: "/dev/pts/0\r\n",
      pause: 0,
      paused: "paused",
      unpause: 0,
      top: "COMMAND\nsleep\n",
      userns: "0\n",
      mode: "700\n",
      systemd: "/sys/fs/cgroup/systemd\n",
      stop: 0,
      stopped: "exited 137",
      start: 0,
      rm: 0,
      pod: 0,
      inPod: "podhost\n",
      podRemoved: 0,
    });
  },
  60_000,
);

test.if(needs("ctr", "dockerd", "cgroup-v1"))(
  "containerd: its runc shim with ctr as BinaryName",
  async () => {
    const home = testHome("image");
    try {
      const env = { CTR_ROOT: `${home}/root`, CTR_STATE: `${home}/state` };
      const archive = `${home}/min.tar`;
      for (const words of [
        ["import", MINIMAL, "docker.io/library/min:latest"],
        ["save", "--output", archive, "docker.io/library/min:latest"],
      ]) {
        const done = Bun.spawnSync([binary(), ...words], { env: { ...process.env, ...env } });
        expect(done.stderr.toString()).toBe("");
      }
      const answers = await inPrivate("containerd-answers.ts", archive, path);
      expect(answers).toEqual({
        echo: [0, "hello\n", ""],
        status: 42,
        missing: expect.stringContaining('exec: "nope": executable file not found in $PATH'),
        detached: 0,
        exec: [3, "0\n", ""],
        // What script(1) sends for the end of its input may be echoed before it.
        terminal: expect.stringContaining("/dev/pts/0\n"),
        execTerminal: expect.stringContaining("/dev/pts/0\n"),
        limits: [0, "/tmp\nb\n", ""],
        checkpoint: expect.stringContaining("checkpoint is not supported"),
        pause: 0,
        paused: "PAUSED",
        resume: 0,
        processes: 2,
        metrics: true,
        kill: 0,
        killed: "STOPPED",
        rm: 0,
        forget: 0,
      });
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  },
  60_000,
);
