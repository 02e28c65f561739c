/** The C half under sanitizers: its wrappers and its spawning (test/csrc/helper-test.c), and the reaper as PID 1. */
import { afterAll, expect } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { testHome } from "../lib/home.ts";
import { processes, requirePrivateHost } from "../lib/host.ts";
import { needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

requirePrivateHost();
const top = resolve(import.meta.dir, "../..");
const home = testHome("c");
afterAll(() => rmSync(home, { recursive: true, force: true }));

const test = kernelTest.if(needs("root", "ctr"));
const sanitized = kernelTest.if(needs("root", "ctr", "sanitizers"));

function compile(output: string, ...words: readonly string[]): string {
  const flags = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"];
  const done = Bun.spawnSync(["cc", ...flags, "-o", `${home}/${output}`, ...words], { cwd: top, stderr: "pipe" });
  if (done.exitCode !== 0) throw new Error(`cc: ${done.stderr.toString()}`);
  return `${home}/${output}`;
}

sanitized("the helper under the address and undefined behaviour sanitizers", async () => {
  const program = compile(
    "helper-test",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "test/csrc/helper-test.c",
    ...["syscalls", "spawn", "join", "exec", "user-namespace"].map((name) => `csrc/${name}.c`),
  );
  // Leaks are not looked for: a clone that shares the memory confuses the search, and the helper allocates nothing.
  const child = Bun.spawn([program], { env: { ...process.env, ASAN_OPTIONS: "detect_leaks=0" }, stderr: "pipe" });
  const [words, status] = await Promise.all([child.stderr.text(), child.exited]);
  expect(words).toBe("");
  expect(status).toBe(0);
});

sanitized("the reader of tar headers under the address and undefined behaviour sanitizers", async () => {
  const program = compile(
    "tar-header-test",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "test/csrc/tar-header-test.c",
    "csrc/tar-header.c",
  );
  const child = Bun.spawn([program], { stderr: "pipe" });
  const [words, status] = await Promise.all([child.stderr.text(), child.exited]);
  expect(words).toBe("");
  expect(status).toBe(0);
});

for (const sanitizer of ["address", "thread"]) {
  for (const [what, name] of [
    ["makes files", "tree-writer"],
    ["hashes and writes", "digester"],
  ]) {
    sanitized(`the thread that ${what} under the ${sanitizer} and undefined behaviour sanitizers`, async () => {
      const program = compile(
        `${name}-${sanitizer}`,
        `-fsanitize=${sanitizer},undefined`,
        "-fno-sanitize-recover=all",
        "-pthread",
        `test/csrc/${name}-test.c`,
        `csrc/${name}.c`,
      );
      const place = `${home}/${name}-${sanitizer}-files`;
      mkdirSync(place);
      // Where the addresses lie must be as this sanitizer expects it, whatever the kernel likes to draw.
      const child = Bun.spawn(["setarch", "-R", program], { cwd: place, stderr: "pipe" });
      const [words, status] = await Promise.all([child.stderr.text(), child.exited]);
      expect(words).toBe("");
      expect(status).toBe(0);
    });
  }
}

/** The reaper as it is built, but undefined behaviour is a trap: it has no C library that could tell of it. */
let reaper: string | undefined;
function reaperPath(): string {
  const freestanding = ["-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"];
  reaper ??= compile(
    "reaper",
    ...freestanding,
    "-fsanitize=undefined",
    "-fsanitize-undefined-trap-on-error",
    "csrc/reaper.c",
    "csrc/static.c",
  );
  return reaper;
}

/** Starts it as PID 1 of a PID namespace of its own. */
function asPid1(...words: readonly string[]) {
  const command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", reaperPath(), ...words];
  return Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
}

test("reaper: ends as its program ended", async () => {
  expect(await asPid1("/bin/sh", "sh", "-c", "exit 7").exited).toBe(7);
  expect(await asPid1("/bin/sh", "sh", "-c", "kill -TERM $$").exited).toBe(128 + 15);
  expect(await asPid1("/missing", "missing").exited).toBe(127);
  expect(await asPid1("/etc/passwd", "passwd").exited).toBe(126);
  expect(await asPid1().exited).toBe(125);
});

test("reaper: passes the program its arguments, its environment and an empty signal mask", async () => {
  const script = 'echo "$0 $1 $2 $HOME"; grep SigBlk /proc/self/status';
  const child = asPid1("/bin/sh", "sh", "-c", script, "zero", "one", "two words");
  expect(await child.stdout.text()).toBe(`zero one two words ${process.env["HOME"]}\nSigBlk:\t0000000000000000\n`);
  expect(await child.exited).toBe(0);
});

test("reaper: reaps five hundred orphans", async () => {
  // Each inner shell ends at once and leaves its child to PID 1.
  const orphans = "i=0; while [ $i -lt 500 ]; do (true & ) ; i=$((i + 1)); done";
  const left = `until ! grep -qs 'State:.Z' /proc/[0-9]*/status; do sleep 0.02; done; echo none`;
  const child = asPid1("/bin/sh", "sh", "-c", `${orphans}; ${left}`);
  expect(await child.stdout.text()).toBe("none\n");
  expect(await child.exited).toBe(0);
});

test("reaper: passes on every signal it gets, many at once too", async () => {
  const script = "trap 'exit 9' USR1; trap 'echo hup' HUP; echo up; while :; do sleep 0.02; done";
  const child = asPid1("/bin/sh", "sh", "-c", script);
  const reader = child.stdout.getReader();
  const line = async () => new TextDecoder().decode((await reader.read()).value);
  expect(await line()).toBe("up\n");
  const pid = await waitFor("PID 1", () => processes().find(({ parent }) => parent === child.pid)?.pid);
  process.kill(pid, "SIGHUP");
  expect(await line()).toBe("hup\n");
  for (let i = 0; i < 50; i++) process.kill(pid, "SIGWINCH");
  process.kill(pid, "SIGUSR1");
  expect(await child.exited).toBe(9);
});
