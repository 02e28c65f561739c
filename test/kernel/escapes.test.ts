/**
 * Escapes that were published, from inside: each class once, by a container that tries (docs/security.md has the table). Races
 * are short here; `CTR_RACES=n` makes them n times as long.
 */
import { describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { compileFixture, hostileImage } from "../lib/hostile-image.ts";
import { binary, needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(needs("ctr") && process.arch === "x64");
const RACES = Number(process.env["CTR_RACES"] ?? 1);

const engine = tempEngine();
await compileFixture("attack.c", `${engine.scratch}/attack`, "-static");
const LOADER = ["-static-pie", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fPIE"];
await compileFixture("loader.c", `${engine.scratch}/loader`, ...LOADER);
const image = await hostileImage(engine, "evil", {
  files: `mkdir -p bin lib64
    cp ../../attack bin/attack
    cp ../../loader lib64/ld-linux-x86-64.so.2
    printf '#!/proc/self/exe\\n' > bin/script && chmod 755 bin/script
    ln -s /proc/self/fd/8 wd8
    ln -s /proc/1/root up`,
});

const inside = (flags: readonly string[], ...program: readonly string[]) =>
  engine.ok("run", "--rm", "--network", "none", ...flags, image, ...program);

/** Runs `program` as PID 1 and gives its id once it has said `ready`. */
async function started(flags: readonly string[], ...program: readonly string[]): Promise<string> {
  const id = await engine.ok("run", "-d", "--network", "none", ...flags, image, ...program);
  await waitFor("the container", async () => (await engine.ctr("logs", id)).stdout.includes("ready"));
  return id;
}

const hashOf = (path: string) => new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");

describe("the engine's program (CVE-2019-5736)", () => {
  const before = hashOf(binary());
  /** What the loader reports that the kernel started in place of the engine. */
  const expectReadOnly = (report: string) => {
    expect(report).toMatch(/^has \/.*\nmount read-only\nopen for writing: (ETXTBSY|EROFS)$/);
    expect(hashOf(binary())).toBe(before);
  };

  test("run: a container whose program is /proc/self/exe gets it on a read-only mount", async () => {
    expectReadOnly(await inside([], "/proc/self/exe"));
    expectReadOnly(await inside([], "/bin/script"));
    expectReadOnly(await inside(["--cap-add", "ALL", "--security-opt", "seccomp=unconfined"], "/proc/self/exe"));
  });

  test("run --init: neither the engine nor the reaper can be written to", async () => {
    expect(await inside(["--init"], "attack", "exe", "1")).toMatch(/open for writing: (EPERM|ETXTBSY|EROFS)$/);
  });

  test("exec: /proc/self/exe and a script of it, and a health check", async () => {
    const id = await started([], "probe", "pause");
    for (const program of ["/proc/self/exe", "/bin/script"]) expectReadOnly(await engine.ok("exec", id, program));
    expectReadOnly(await engine.ok("exec", "--privileged", id, "/proc/self/exe"));
    await engine.ok("rm", "-f", id);
  });
});

describe("descriptors and directories of the host (CVE-2024-21626, CVE-2016-9962)", () => {
  const numbers = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 20];

  test("run -w, exec -w, WORKDIR: no descriptor is a way out", async () => {
    const id = await started([], "probe", "pause");
    for (const path of [...numbers.map((number) => `/proc/self/fd/${number}`), "/wd8", "/proc/self/cwd/../..", "/up"]) {
      const exec = await engine.ctr("exec", "-w", path, id, "sh", "-c", "pwd -P; ls -d /etc/ctr ../../../../etc/ctr");
      // Either it is refused, or it is a directory of the container.
      if (exec.stdout !== "") expect(exec.stdout).toMatch(/^\/[\w/]*\n$/);
      else expect(exec.status).toBeGreaterThanOrEqual(126);
    }
    await engine.ok("rm", "-f", id);
    const places = ["/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/fd/9", "/wd8"];
    const runs = await Promise.all(
      places.map((path) => engine.ctr("run", "--rm", "--network", "none", "-w", path, image, "probe", "cwd")),
    );
    expect(runs.map(({ status, stdout }) => `${status} ${stdout}`)).toEqual(places.map(() => "125 "));
    const workdir = await hostileImage(engine, "workdir", { config: { WorkingDir: "/proc/self/fd/8" } });
    expect(await engine.fails(125, "run", "--rm", "--network", "none", workdir, "probe", "cwd")).toContain(
      "/proc/self/fd/8",
    );
  });

  test("a caller's open files reach neither the container nor exec", async () => {
    const script = `exec 7</etc/shadow 8</ 9</root; "$@"`;
    const shell = (...words: readonly string[]) =>
      Bun.spawnSync(["sh", "-c", script, "sh", binary(), ...words], { env: { ...process.env, ...engine.env } })
        .stdout.toString()
        .trim();
    const fds = shell("run", "--rm", "--network", "none", image, "probe", "fds");
    expect(fds).toMatch(/^0 \S+\n1 \S+\n2 \S+$/);
    const id = await started([], "probe", "pause");
    expect(shell("exec", id, "probe", "fds")).toMatch(/^0 \S+\n1 \S+\n2 \S+$/);
    expect(shell("exec", id, "probe", "cat", "/proc/self/environ")).not.toContain("CTR_");
    await engine.ok("rm", "-f", id);
  });

  test(
    "processes on their way in show nothing of the host to one that watches for them",
    async () => {
      const id = await started(["--name", "watcher"], "attack", "watch");
      for (let round = 0; round < 25 * RACES; round++) {
        await Promise.all([
          engine.ok("exec", id, "probe", "session"),
          engine.ok("exec", "-e", "SECRET=1", "-u", "alice", id, "probe", "session"),
        ]);
      }
      const terminal = engine.session("exec", "-it", id, "probe", "tty");
      await terminal.exited;
      // And an init that shares its process namespace.
      const sharing = ["run", "--rm", "--network", "none", "--pid", "container:watcher", image, "probe", "session"];
      for (let round = 0; round < 15 * RACES; round++) await engine.ok(...sharing);
      const seen = (await engine.ok("logs", id)).split("\n").filter((line) => line !== "ready");
      await engine.ok("rm", "-f", id);
      expect(seen).toContain("exe /bin/probe");
      expect(
        seen.filter((line) => !/^(exe \/bin\/\w+|root \/|cwd \/|fd (pipe:|\/dev\/\S+|\/proc\S*))$/.test(line)),
      ).toEqual([]);
    },
    120_000 * RACES,
  );

  test(
    "a container that may trace (SYS_PTRACE) gets hold of processes that have nothing left of the host",
    async () => {
      const donor = await started(["--name", "donor"], "probe", "pause");
      const health = ["--health-cmd", "probe session", "--health-interval", "20ms"];
      const tracers = [
        await started(["--cap-add", "SYS_PTRACE", ...health], "attack", "watch"),
        await started(["--cap-add", "SYS_PTRACE", "--pid", "container:donor"], "attack", "watch"),
      ];
      for (const [index, target] of [tracers[0] ?? "", donor].entries()) {
        for (let round = 0; round < 15 * RACES; round++) {
          await engine.ctrWith({ timeoutMs: 5000 }, "exec", target, "probe", "ids");
        }
        const seen = (await engine.ok("logs", tracers[index] ?? "")).split("\n");
        // It does get hold of them, as a program of the container: its filter, its capabilities, its streams.
        expect(seen.filter((line) => line.startsWith("seized"))).not.toEqual([]);
        const bits = index === 0 ? "00000000a80c25fb" : "00000000a80425fb";
        expect(seen.filter((line) => line.startsWith("as "))).toEqual([
          `as Seccomp:\t2 CapEff:\t${bits} CapBnd:\t${bits}`,
        ]);
        expect(
          seen.filter((line) => line.startsWith("fd ") && !/^fd (pipe:|\/dev\/null|\/proc\S*)$/.test(line)),
        ).toEqual([]);
      }
      await engine.ok("rm", "-f", ...tracers, donor);
    },
    120_000 * RACES,
  );

  test("a container that kills and stops what appears beside it: the other fails or runs, and rm ends it", async () => {
    for (const signal of ["9", "19"]) {
      const hunter = await started(["--name", "hunter"], "attack", "hunt", signal);
      const names = Array.from({ length: 6 }, (_unused, index) => `prey${index}`);
      const runs = names.map((name) =>
        engine.spawn(
          "run",
          "--name",
          name,
          "--network",
          "none",
          "--pid",
          "container:hunter",
          image,
          "probe",
          "session",
        ),
      );
      if (signal === "9") {
        const statuses = await Promise.all(runs.map((run) => run.exited));
        // 137: the program itself was killed; 125: its init was.
        expect(statuses.filter((status) => ![0, 125, 137].includes(status))).toEqual([]);
      } else {
        await waitFor("one to be stopped", async () => (await engine.ctr("logs", hunter)).stdout.includes("signalled"));
      }
      await engine.ok("rm", "-f", "hunter");
      await waitFor("the others to go", async () => {
        const left = (await engine.ok("ps", "-aq")).split("\n").filter((line) => line !== "");
        if (left.length > 0) await engine.ctr("rm", "-f", ...left);
        return left.length === 0;
      });
      await Promise.all(runs.map((run) => run.exited));
    }
  });
});

describe("exec into a hostile container", () => {
  const PASSWDS = [
    ["a fifo", "rm /etc/passwd; mkfifo /etc/passwd"],
    ["a link to a device without an end", "ln -sf /dev/zero /etc/passwd"],
    ["a link to the host's memory", "ln -sf /proc/kcore /etc/passwd"],
    ["a directory", "rm /etc/passwd; mkdir /etc/passwd"],
    ["a link to itself", "ln -sf passwd /etc/passwd"],
    ["a terabyte", "rm /etc/passwd; dd if=/dev/null of=/etc/passwd bs=1 seek=1099511627776"],
    ["a file of one line", "rm /etc/passwd; head -c 8000000 /dev/zero | tr '\\0' a > /etc/passwd"],
  ] as const;

  for (const [what, script] of PASSWDS) {
    test(`/etc/passwd is ${what}: refused or passed over, in no time`, async () => {
      const id = await started([], "sh", "-c", `${script}; probe pause`);
      const exec = await engine.ctrWith({ timeoutMs: 5000 }, "exec", id, "probe", "ids");
      // Root by number needs no entry; whatever it says, it is never another user.
      if (exec.status === 0) expect(exec.stdout).toStartWith("uid 0 0 0\ngid 0 0 0\n");
      else expect(exec.stderr).toContain("/etc/passwd");
      expect((await engine.ctrWith({ timeoutMs: 5000 }, "exec", "-u", "alice", id, "true")).status).toBeGreaterThan(0);
      await engine.ok("rm", "-f", id);
    });
  }

  test("its loader, its preloads, its programs and its environment are its own", async () => {
    const setUp = [
      "echo /evil.so > /etc/ld.so.preload",
      "printf '#!/bin/attack\\n' > /bin/fake && chmod 755 /bin/fake",
      "mkdir -p /proc/self/x; rm /bin/true; cp /bin/fake /bin/true",
      "mkdir /etc/ctr; echo nonsense > /etc/ctr/engine.toml; echo nonsense > /bunfig.toml; echo X=1 > /.env",
      "probe pause",
    ];
    const id = await started(
      ["-e", "LD_PRELOAD=/evil.so", "-e", "BUN_OPTIONS=--nonsense"],
      "sh",
      "-c",
      setUp.join("; "),
    );
    const environment = await engine.ok("exec", id, "probe", "env");
    expect(environment.split("\n").toSorted()).toEqual([
      "BUN_OPTIONS=--nonsense",
      "HOME=/root",
      expect.stringMatching(/^HOSTNAME=/),
      "LD_PRELOAD=/evil.so",
      expect.stringMatching(/^PATH=/),
    ]);
    expect((await engine.ctr("exec", id, "true")).stderr).toContain("unknown verb");
    expect(await engine.ok("top", id)).toContain("probe pause");
    await engine.ok("rm", "-f", id);
  });
});

describe("privileges", () => {
  test("release_agent (CVE-2022-0492): no cgroup file is written, mounted or remounted, with any user", async () => {
    for (const flags of [
      [],
      ["--cap-add", "DAC_OVERRIDE"],
      ["-u", "alice"],
      ["--security-opt", "seccomp=unconfined"],
    ]) {
      const report = (await inside(flags, "attack", "release-agent")).split("\n");
      expect(report.length).toBeGreaterThan(10);
      // Only the filter keeps a user namespace from them, and even in one there is nothing to be had.
      const allowed = flags.includes("seccomp=unconfined") ? ["clone: yes"] : [];
      expect(report.filter((line) => line.endsWith(": yes"))).toEqual(allowed);
      expect(report.filter((line) => line.startsWith("mkdir"))).toEqual([]);
    }
  });

  test("inheritable capabilities (CVE-2022-24769): none, in run and in exec, for root and for others", async () => {
    const id = await started(["--cap-add", "NET_ADMIN"], "probe", "pause");
    const all = await Promise.all([
      engine.ok("exec", id, "probe", "caps"),
      engine.ok("exec", "-u", "alice", id, "probe", "caps"),
      engine.ok("exec", "--privileged", id, "probe", "caps"),
      inside(["--privileged"], "probe", "caps"),
      inside(["-u", "alice", "--cap-add", "ALL"], "probe", "caps"),
      inside(["--init"], "probe", "caps"),
    ]);
    for (const caps of all) {
      expect(caps).toContain("CapInh:\t0000000000000000");
      expect(caps).toContain("CapAmb:\t0000000000000000");
    }
    await engine.ok("rm", "-f", id);
  });
});
