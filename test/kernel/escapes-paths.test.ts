/**
 * Escapes by way of paths: what is exchanged while the engine mounts, masks and writes, and images whose links and words mean
 * harm. The races run against the functions that init calls, thousands of times a second; `CTR_RACES=n` makes them n times
 * as long.
 */
import { afterAll, describe, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { CtrError, EXDEV, isErrno, SyscallError } from "../../internal/errors/error.ts";
import { bindConsole, openNullDevice, openTerminal } from "../../internal/rootfs/devices.ts";
import { makeReadonly, maskPaths, mountInRoot, PreparedMounts } from "../../internal/rootfs/mounts.ts";
import { openProcfs, writeSysctl } from "../../internal/rootfs/procfs.ts";
import { O_DIRECTORY, O_PATH, open } from "../../internal/sys/fd.ts";
import { fstatfsType, statx } from "../../internal/sys/file.ts";
import { MNT_DETACH, umount2 } from "../../internal/sys/mount.ts";
import { tempEngine } from "../lib/engine.ts";
import { testHome } from "../lib/home.ts";
import { mounts, requirePrivateHost } from "../lib/host.ts";
import { compileFixture, hostileArchive } from "../lib/hostile-image.ts";
import { needs } from "../lib/needs.ts";
import { host } from "../lib/sandbox.ts";
import { test as kernelTest } from "../lib/test.ts";

const test = kernelTest.if(needs("ctr") && process.arch === "x64");
const RACES = Number(process.env["CTR_RACES"] ?? 1);
const LIMIT_MS = 30_000 * RACES;

/** A root file system of directories, on a mount of its own, with a procfs and a file of the host's that nobody may reach. */
requirePrivateHost();
const home = testHome("paths");
const attack = await compileFixture("attack.c", `${home}/attack`, "-static");
const root = `${home}/root`;
const canary = `${home}/canary`;
mkdirSync(canary);
writeFileSync(`${canary}/secret`, "SECRET");
for (const name of ["", "/vol/target", "/proc", "/dev/real", "/dev/evil", "/masked"])
  mkdirSync(`${root}${name}`, { recursive: true });
host("mount", "--bind", root, root);
host("mount", "-t", "proc", "proc", `${root}/proc`);
host("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", `${root}/dev/real`);
afterAll(() => host("umount", "-R", "-l", root));

const engine = tempEngine();

const pointOf = (line: string) => line.split(" ")[4] ?? "";
const usual = new Set(mounts().map(pointOf));
/** The places that were mounted on since, uncovered again. */
function newMounts(): string[] {
  const points = mounts()
    .map(pointOf)
    .filter((point) => !usual.has(point));
  for (const point of points.toReversed()) umount2(point, MNT_DETACH);
  return points;
}

/** Counts how often it succeeds and fails, with \`a\` and \`b\` exchanged all the time; only errors of the kernel's and ours count. */
function race(a: string, b: string, rounds: number, action: () => void): { succeeded: number; failed: number } {
  const swap = Bun.spawn([attack, "swap", `${root}${a}`, `${root}${b}`], { stdout: "ignore" });
  const counts = { succeeded: 0, failed: 0 };
  try {
    const end = performance.now() + 10_000;
    const isOver = (round: number) => round >= rounds * RACES && (counts.succeeded > 100 || performance.now() > end);
    for (let round = 0; !isOver(round); round++) {
      try {
        action();
        counts.succeeded++;
      } catch (error) {
        if (!(error instanceof SyscallError) && !(error instanceof CtrError)) throw error;
        counts.failed++;
      }
    }
  } finally {
    swap.kill("SIGKILL");
  }
  console.error(`race ${a}: ${counts.succeeded} succeeded, ${counts.failed} failed`);
  return counts;
}

describe("what is exchanged meanwhile", () => {
  const place = open(root, O_PATH | O_DIRECTORY);
  const prepared = new PreparedMounts();
  const tmpfs = { type: "tmpfs", source: "tmpfs", options: ["size=4k"] };
  afterAll(() => place.close());

  test(
    "a mount's place and a link to the host (CVE-2021-30465): nothing is mounted or made outside",
    () => {
      symlinkSync(canary, `${root}/vol/host`);
      const { succeeded } = race("/vol/target", "/vol/host", 1500, () => {
        try {
          mountInRoot(place.number, { destination: "/vol/target/x", ...tmpfs }, prepared);
        } finally {
          for (const point of newMounts()) expect(point).toStartWith(`${root}/`);
        }
      });
      expect(succeeded).toBeGreaterThan(100);
      expect(readdirSync(canary)).toEqual(["secret"]);
    },
    LIMIT_MS,
  );

  test(
    "a mount's place and a link into procfs (CVE-2019-19921): nothing is mounted there",
    () => {
      symlinkSync("/proc/sys", `${root}/vol/proc`);
      mkdirSync(`${root}/vol/plain/net`, { recursive: true });
      const bind = { type: "bind", source: canary, options: ["bind"] };
      const { succeeded, failed } = race("/vol/plain", "/vol/proc", 1500, () => {
        try {
          mountInRoot(place.number, { destination: "/vol/plain/net", ...bind }, prepared);
        } finally {
          for (const point of newMounts()) expect(point).not.toStartWith(`${root}/proc`);
        }
      });
      expect(succeeded).toBeGreaterThan(100);
      expect(failed).toBeGreaterThan(100);
    },
    LIMIT_MS,
  );

  test(
    "the null device (CVE-2025-31133): a mask is the null device, or there is no start",
    () => {
      host("mknod", `${root}/dev/null`, "c", "1", "3");
      symlinkSync("/proc/sys/kernel/domainname", `${root}/dev/fake`);
      writeFileSync(`${root}/masked/file`, "SECRET");
      const { succeeded, failed } = race("/dev/null", "/dev/fake", 1500, () => {
        using device = openNullDevice(place.number);
        try {
          maskPaths(place.number, ["/masked/file", "/masked/none"], device.number);
          const { rdevMajor, rdevMinor } = statx(-100, `${root}/masked/file`);
          expect([rdevMajor, rdevMinor]).toEqual([1, 3]);
        } finally {
          newMounts();
        }
      });
      expect(succeeded).toBeGreaterThan(100);
      expect(failed).toBeGreaterThan(100);
    },
    LIMIT_MS,
  );

  test(
    "masked and read-only places: what they cover is covered, or there is no start",
    () => {
      mkdirSync(`${root}/masked/a`);
      mkdirSync(`${root}/masked/b`);
      host("mknod", `${root}/dev/zero`, "c", "1", "3");
      using device = open(`${root}/dev/zero`, O_PATH);
      const { succeeded } = race("/masked/a", "/masked/b", 1000, () => {
        try {
          maskPaths(place.number, ["/masked/a"], device.number);
          makeReadonly(place.number, ["/masked/b"]);
        } finally {
          for (const point of newMounts()) expect(point).toStartWith(`${root}/masked/`);
        }
      });
      expect(succeeded).toBeGreaterThan(100);
    },
    LIMIT_MS,
  );

  test(
    "the terminal and /dev/console (CVE-2025-52565): both are of the container's devpts, nothing else is opened or covered",
    () => {
      symlinkSync("real", `${root}/dev/pts`);
      symlinkSync("evil", `${root}/dev/pts2`);
      writeFileSync(`${root}/dev/evil/ptmx`, "");
      const open = race("/dev/pts", "/dev/pts2", 800, () => {
        const { master, slave } = openTerminal(place.number);
        expect(fstatfsType(master.number)).toBe(0x1cd1);
        expect(fstatfsType(slave.number)).toBe(0x1cd1);
        master.close();
        slave.close();
      });
      expect(open.succeeded).toBeGreaterThan(100);
      expect(open.failed).toBeGreaterThan(50);
      writeFileSync(`${root}/dev/console`, "");
      symlinkSync("/proc/sys/kernel/domainname", `${root}/dev/console2`);
      host("ln", "-sfn", "real", `${root}/dev/pts`);
      const { master, slave } = openTerminal(place.number);
      const bound = race("/dev/console", "/dev/console2", 800, () => {
        try {
          bindConsole(place.number, slave.number);
        } finally {
          for (const point of newMounts()) expect(point).toMatch(/\/dev\/console2?$/);
        }
      });
      master.close();
      slave.close();
      expect(bound.succeeded).toBeGreaterThan(100);
    },
    LIMIT_MS,
  );

  test("sysctls (CVE-2025-52881): whatever covers a file of procfs, or stands for it, is not written to", () => {
    const write = () => {
      using proc = openProcfs(place.number);
      writeSysctl(proc.number, "kernel/domainname", "pwned");
    };
    const before = readFileSync("/proc/sys/kernel/domainname", "utf8");
    host("mount", "--bind", `${canary}/secret`, `${root}/proc/sys/kernel/domainname`);
    expect(thrown(write)).toSatisfy((error) => isErrno(error, EXDEV));
    newMounts();
    host("mount", "-t", "tmpfs", "tmpfs", `${root}/proc/sys`);
    expect(thrown(write)).toSatisfy((error) => isErrno(error, EXDEV));
    newMounts();
    for (const fake of [
      ["mount", "-t", "tmpfs", "tmpfs"],
      ["mount", "--bind", "/proc/sys"],
      ["mount", "--bind", canary],
    ]) {
      host(...fake, `${root}/proc`);
      expect(`${thrown(write)}`).toContain("/proc of the container is not procfs");
      umount2(`${root}/proc`, MNT_DETACH);
    }
    expect(readFileSync("/proc/sys/kernel/domainname", "utf8")).toBe(before);
    expect(readFileSync(`${canary}/secret`, "utf8")).toBe("SECRET");
    write();
    expect(readFileSync("/proc/sys/kernel/domainname", "utf8")).toBe("pwned\n");
  });
});

function thrown(action: () => void): unknown {
  try {
    action();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe("images", () => {
  const CONFIGS = {
    "volume-proc": { Cmd: ["ls", "/to-proc"], Volumes: { "/to-proc": {} } },
    "volume-sysctl": { Cmd: ["ls", "/to-sysctl"], Volumes: { "/to-sysctl": {} } },
    "volume-below-proc": { Cmd: ["ls"], Volumes: { "/proc/bus": {} } },
    "volume-host": { Cmd: ["ls", "-A", "/to-host"], Volumes: { "/to-host": {} } },
    "volume-dots": { Cmd: ["ls", "-A", "/a"], Volumes: { "/../../../../a": {} } },
    "volume-links": {
      Cmd: ["sh", "-c", "ls -l /links | sed -n 's/.* //p' | grep -v '^[0-9]*$'"],
      Volumes: { "/links": {} },
    },
    "volume-dev": { Cmd: ["sh", "-c", "ls -A /to-dev/; echo x > /dev/null"], Volumes: { "/to-dev": {} } },
    "volume-root": { Cmd: ["ls"], Volumes: { "/": {} } },
    "volume-empty": { Cmd: ["ls"], Volumes: { "": {} } },
    "workdir-dots": { Cmd: ["pwd"], WorkingDir: "/../../../../../etc" },
    "workdir-relative": { Cmd: ["pwd"], WorkingDir: "../../etc" },
    "workdir-file": { Cmd: ["pwd"], WorkingDir: "/etc/passwd" },
    "workdir-host": { Cmd: ["sh", "-c", "pwd; ls -A"], WorkingDir: "/to-host" },
    "user-number": { Cmd: ["probe", "ids"], User: "4294967296" },
    "user-negative": { Cmd: ["probe", "ids"], User: "-1" },
    "user-lines": { Cmd: ["probe", "ids"], User: "alice\nroot:x:0:0" },
    "user-colons": { Cmd: ["probe", "ids"], User: "alice:0:0:0" },
    "env-odd": { Cmd: ["probe", "env"], Env: ["=x", "NOTHING", "LD_PRELOAD=/x.so", "BUN_OPTIONS=--x", "CTR_ROOT=/x"] },
    "labels-engine": { Cmd: ["probe", "seccomp"], Labels: { "ctr.seccomp": "unconfined", "ctr.init": "true" } },
  } as const;
  const FILES = `ln -s /proc to-proc; ln -s /proc/sys/net to-sysctl; ln -s ${canary} to-host; ln -s /dev to-dev
    mkdir -p links/real; ln -s ${canary}/secret links/secret; ln -s /proc/kcore links/kcore; ln -s .. links/up
    mkfifo links/fifo`;

  const EXPECTED: { readonly [Name in keyof typeof CONFIGS]: readonly [status: number, words: string] } = {
    "volume-proc": [125, "ctr: /to-proc: cannot be mounted because it is inside /proc"],
    "volume-sysctl": [125, "ctr: /to-sysctl: cannot be mounted because it is inside /proc"],
    "volume-below-proc": [125, "ctr: /proc/bus: cannot be mounted because it is inside /proc"],
    "volume-host": [0, ""],
    "volume-dots": [0, ""],
    "volume-links": [0, `fifo\n/proc/kcore\nreal\n${canary}/secret\n..`],
    // What covers /dev has no null device to mask with, and gets none.
    "volume-dev": [125, "ctr: /dev/null of the container: no such file or directory"],
    "volume-root": [125, "destination can't be '/'"],
    "volume-empty": [125, "mount path must be absolute"],
    "workdir-dots": [0, "/etc"],
    "workdir-relative": [125, "ctr: the working directory '../../etc' is invalid, it needs to be an absolute path"],
    "workdir-file": [125, "ctr: mkdir /etc/passwd: not a directory"],
    "workdir-host": [0, canary],
    "user-number": [125, "ctr: uids and gids must be in range 0-2147483647"],
    "user-negative": [125, "ctr: uids and gids must be in range 0-2147483647"],
    "user-lines": [125, "ctr: unable to find user alice\\nroot: no matching entries in passwd file"],
    "user-colons": [125, "ctr: unable to find group 0:0:0: no matching entries in group file"],
    "env-odd": [0, "LD_PRELOAD=/x.so\nBUN_OPTIONS=--x\nCTR_ROOT=/x\nHOME=/root"],
    "labels-engine": [0, "NoNewPrivs:\t0\nSeccomp:\t2"],
  };

  const NO_CONFIGS: readonly unknown[] = [
    { Entrypoint: [1, { a: 2 }] },
    { Cmd: { sh: "-c" } },
    { Env: [1, null, ["x"]] },
    { Env: "A=b" },
    { User: 0 },
    { WorkingDir: ["/"] },
    { Volumes: ["/x"] },
    { Labels: { a: 1 } },
    { Healthcheck: { Test: "true" } },
    [1, 2],
    "x",
  ];

  test("a configuration that is none is refused by load in one line", async () => {
    for (const config of NO_CONFIGS) {
      const { status, stderr } = await engine.ctr(
        "load",
        "-q",
        "-i",
        await hostileArchive(engine.scratch, "true", { no: config }),
      );
      expect(`${status} ${stderr}`).toMatch(/^1 ctr: load [^\n]*image config[^\n]*\n$/);
    }
    expect(await engine.ok("images", "-q")).toBe("");
  });

  test("odd configurations and links: each is refused, or harms its own container only", async () => {
    await engine.ok("load", "-q", "-i", await hostileArchive(engine.scratch, FILES, CONFIGS));
    for (const [name, [status, words]] of Object.entries(EXPECTED)) {
      const ran = await engine.ctr("run", "--rm", "--network", "none", name);
      const text = (ran.status === 0 ? ran.stdout : ran.stderr).trim();
      expect(`${name} ${ran.status} ${text}`).toStartWith(`${name} ${status} `);
      expect(text).toEndWith(words);
      if (words === "") expect(text).toBe("");
    }
    expect(readdirSync(canary)).toEqual(["secret"]);
  });
});
