/**
 * The joiner (csrc/joiner.c), which starts what `exec` starts where others may trace it: by way of internal/sys/joiner.ts, and
 * with undefined behaviour as a trap, because it has no C library that could tell of it.
 */
import { expect, mock } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ProcessImage } from "../../internal/sys/spawn.ts";
import { testHome } from "../lib/home.ts";
import { processes, requirePrivateHost } from "../lib/host.ts";
import { needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";

requirePrivateHost();
const test = kernelTest.if(needs("root", "ctr"));
const top = resolve(import.meta.dir, "../..");
const home = testHome("joiner");

/** Compiles it and has it embedded in place of the usual one. */
function trapping(): string {
  const flags = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-nostdlib", "-ffreestanding"];
  const traps = ["-fno-stack-protector", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"];
  const sources = ["joiner", "join", "exec", "static"].map((name) => `csrc/${name}.c`);
  const done = Bun.spawnSync(["cc", ...flags, ...traps, "-o", `${home}/joiner`, ...sources], { cwd: top });
  if (done.exitCode !== 0) throw new Error(`cc: ${done.stderr.toString()}`);
  return readFileSync(`${home}/joiner`).toString("base64");
}
const program = trapping();
mock.module(`${top}/build/joiner.b64`, () => ({ default: program }));
const { spawnApart } = await import("../../internal/sys/joiner.ts");
const { open, O_RDONLY, O_RDWR, O_CREAT, O_TRUNC } = await import("../../internal/sys/fd.ts");
const { waitChild } = await import("../../internal/sys/process.ts");

const ALL = 2n ** 63n - 1n;

function image(args: readonly string[], changes: Partial<ProcessImage> = {}): ProcessImage {
  const [name = ""] = args;
  const capabilities = { bounding: ALL, effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n };
  const base = { uid: 0, gid: 0, groups: [0], ...capabilities, noNewPrivileges: false };
  return { ...base, candidates: ["/missing/it", name], args, env: ["A=b"], ...changes };
}

interface Ended {
  readonly status: number;
  readonly output: string;
}

/** Starts it in our own PID namespace, and waits for it. */
function run(of: ProcessImage, preserved: readonly number[] = []): Ended {
  using namespace = open("/proc/self/ns/pid", O_RDONLY);
  using nothing = open("/dev/null", O_RDWR);
  using output = open(`${home}/output`, O_RDWR | O_CREAT | O_TRUNC, 0o600);
  const { pid, pidfd } = spawnApart(
    { ...of, firstClosedFd: 3 + preserved.length },
    {
      joins: [],
      pidNamespaceFd: namespace.number,
      fds: [nothing.number, output.number, output.number, ...preserved],
      newSession: true,
    },
  );
  const { status = -1 } = waitChild(pid, true) ?? {};
  pidfd.close();
  return { status, output: readFileSync(`${home}/output`, "utf8") };
}

function failure(of: ProcessImage): { readonly step: unknown; readonly errno: unknown } {
  try {
    run(of);
  } catch (error) {
    if (error instanceof Error && "step" in error && "errno" in error) return { step: error.step, errno: error.errno };
    throw error;
  }
  throw new Error("it runs");
}

const descriptors = () => readdirSync("/proc/self/fd").length;
const children = () => processes().filter(({ parent }) => parent === process.pid);

const shell = (script: string) => ["/bin/sh", "-c", script];

test("a program has its arguments, environment, session and descriptors, and nothing else", () => {
  const before = descriptors();
  using kept = open("/dev/zero", O_RDONLY);
  const script =
    'echo "$A $#"; ls -l /proc/self/fd; cut -d" " -f6 /proc/self/stat; echo $$; tr "\\0" " " < /proc/$$/environ';
  const { status, output } = run(image([...shell(script), "zero", "one"]), [kept.number]);
  expect(status).toBe(0);
  expect(output).toContain("b 1\n");
  expect([...output.matchAll(/ (\d+) -> (\S+)/g)].map(([, fd, to]) => `${fd} ${to}`)).toEqual([
    "0 /dev/null",
    `1 ${home}/output`,
    `2 ${home}/output`,
    "3 /dev/zero",
    expect.stringMatching(/^4 \/proc\/\d+\/fd$/),
  ]);
  const [session, shellPid] = output.split("\n").filter((line) => /^\d+$/.test(line));
  expect(session).toBe(shellPid ?? "");
  kept.close();
  expect(descriptors()).toBe(before);
  expect(children()).toEqual([]);
});

test("its status is its own, and it is our child", () => {
  expect(run(image(shell("exit 7"))).status).toBe(7);
  expect(run(image(shell("kill -KILL $$"))).status).toBe(128 + 9);
});

/** A filter that answers `number` like this. */
function filter(number: number, action: number): Uint8Array {
  const instruction = (code: number, jt: number, jf: number, k: number) =>
    BigInt(code) | (BigInt(jt) << 16n) | (BigInt(jf) << 24n) | (BigInt(k) << 32n);
  return new Uint8Array(
    new BigUint64Array([
      instruction(0x20, 0, 0, 0),
      instruction(0x15, 0, 1, number),
      instruction(0x06, 0, 0, action),
      instruction(0x06, 0, 0, 0x7fff0000),
    ]).buffer,
  );
}

/** Starts nothing else, and does not end by itself: under the filter it could not. */
const SHOW_FILTER =
  "while read line; do case $line in Seccomp:*) echo $line;; esac; done < /proc/self/status; kill -TERM $$";

const CLONE = process.arch === "arm64" ? 220 : 56;
const EXIT_GROUP = process.arch === "arm64" ? 94 : 231;
const EPERM = 1;
const ERRNO = 0x00050000;
const KILL_PROCESS = 0x80000000;

test("under a filter that forbids what is done under it, or that ends the one in between, it runs all the same", () => {
  for (const seccomp of [
    filter(CLONE, ERRNO | EPERM),
    filter(CLONE, KILL_PROCESS),
    filter(EXIT_GROUP, ERRNO | EPERM),
    filter(EXIT_GROUP, KILL_PROCESS),
  ]) {
    const ended = run(image(shell(SHOW_FILTER), { seccomp }));
    expect(ended.output).toBe("Seccomp: 2\n");
    expect(ended.status).toBe(128 + 15);
  }
});

test("what fails is named by its step, and nothing is left of it", () => {
  const before = descriptors();
  const it = image(["/bin/true"]);
  expect(failure({ ...it, candidates: ["/missing/true"] })).toEqual({ step: "exec", errno: 2 });
  expect(failure({ ...it, candidates: ["/etc/passwd"] })).toEqual({ step: "exec", errno: 13 });
  expect(failure({ ...it, cwd: "/missing" })).toEqual({ step: "chdir", errno: 2 });
  expect(failure({ ...it, controllingTerminal: true })).toEqual({ step: "terminal", errno: 25 });
  expect(failure({ ...it, label: { apparmor: "no-such-profile" } }).step).toBe("apparmor");
  expect(failure({ ...it, rlimits: [{ resource: 99, soft: 1n, hard: 1n }] })).toEqual({ step: "rlimits", errno: 22 });
  expect(descriptors()).toBe(before);
  expect(children()).toEqual([]);
});

test("called by anybody else it does nothing", async () => {
  for (const words of [[], ["9"], ["x"], ["0"], ["99999999999"], ["3", "4"]]) {
    const child = Bun.spawn([`${home}/joiner`, ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    expect(await child.exited).toBe(127);
    expect(await child.stdout.text()).toBe("");
  }
});

/** Of this PID namespace, which ends with the test (kernel 6.3). */
const NOEXEC = "/proc/sys/vm/memfd_noexec";

test("it runs where files in memory are not executable unless it is asked for", () => {
  if (existsSync(NOEXEC)) writeFileSync(NOEXEC, "1");
  expect(run(image(shell("exit 7"))).status).toBe(7);
});
