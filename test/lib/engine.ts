/**
 * An engine of a test's own: its store, its state, its cgroup parent, in a pretend host (scripts/private-host).
 * A test file makes one at its top; it is taken down after the last test, and what it left behind fails the file.
 */
import { afterAll, expect } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { testHome } from "./home.ts";
import { processes, requirePrivateHost } from "./host.ts";
import { isNetd, leaksSince, type Snapshot, snapshot } from "./leaks.ts";
import { binary, isDocker } from "./needs.ts";
import { openSession, type Session } from "./terminal.ts";
import { record } from "./transcript.ts";
import { waitFor } from "./wait.ts";

export interface Result {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
  /** Standard output as it came. */
  readonly bytes: Uint8Array;
}

export interface CallOptions {
  readonly stdin?: string | Uint8Array | Blob;
  readonly env?: { readonly [name: string]: string };
  readonly cwd?: string;
  /** A command that takes longer hangs: it is killed and the test fails. */
  readonly timeoutMs?: number;
}

export type ImageName = "minimal" | "debian" | "nginx" | "redis" | "flask";

export interface TestEngine {
  readonly root: string;
  readonly state: string;
  /** A directory for the test's own files. */
  readonly scratch: string;
  readonly env: Readonly<Record<string, string>>;
  /** Runs one command to its end. */
  readonly ctr: (...operands: readonly string[]) => Promise<Result>;
  readonly ctrWith: (options: CallOptions, ...operands: readonly string[]) => Promise<Result>;
  /** As `ctr`, but anything but status 0 fails the test; gives standard output without its last newline. */
  readonly ok: (...operands: readonly string[]) => Promise<string>;
  /** As `ctr`, but it must fail with this status; gives standard error. */
  readonly fails: (status: number, ...operands: readonly string[]) => Promise<string>;
  /** Starts a command and leaves it running; the test ends it. */
  readonly spawn: (...operands: readonly string[]) => Bun.Subprocess<"pipe", "pipe", "pipe">;
  /** Starts a command on a terminal. */
  readonly session: (...operands: readonly string[]) => Session;
  readonly sessionWith: (options: Pick<CallOptions, "env">, ...operands: readonly string[]) => Session;
  /** Imports a root file system (`test/images/make`) under its own name, once; gives the name. */
  readonly image: (name: ImageName) => Promise<string>;
  /** Fails the test if removing every container left anything; called after the last test too. */
  readonly expectNothingLeft: () => Promise<void>;
  /** The process of netd, if one runs. */
  readonly netd: () => number | undefined;
}

const IMAGES = `${import.meta.dir}/../images/make`;
const CALL_TIMEOUT_MS = 25_000;
const decoder = new TextDecoder();

/** Makes an engine and has it taken down after the file's last test. */
export function tempEngine(): TestEngine {
  requirePrivateHost();
  const home = testHome("e");
  const engine = createEngine(home);
  afterAll(async () => {
    try {
      await takeDown(engine);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  }, 60_000);
  return engine;
}

function createEngine(home: string): TestEngine {
  const root = `${home}/root`;
  const state = `${home}/state`;
  const scratch = `${home}/scratch`;
  mkdirSync(scratch);
  const before = snapshot();
  const env = { CTR_ROOT: root, CTR_STATE: state };
  const imported = new Map<ImageName, Promise<string>>();

  const ctrWith = async (options: CallOptions, ...operands: readonly string[]): Promise<Result> => {
    const child = Bun.spawn([binary(), ...operands], {
      env: { ...process.env, ...env, ...options.env },
      cwd: options.cwd ?? scratch,
      stdin: typeof options.stdin === "string" ? new Blob([options.stdin]) : (options.stdin ?? "ignore"),
      stdout: "pipe",
      stderr: "pipe",
    });
    const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    const [bytes, stderr, status] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
    clearTimeout(timer);
    const result = { bytes, stderr, status, stdout: bytes.length < 1 << 20 ? decoder.decode(bytes) : "" };
    record(`$ ctr ${operands.map(quote).join(" ")}\n${shorten(result.stdout)}${shorten(stderr)}[${status}]`);
    if (isLate) throw new Error(`ctr ${operands.join(" ")}: still running after ${timeoutMs} ms`);
    return result;
  };
  const ctr = (...operands: readonly string[]) => ctrWith({}, ...operands);
  const ok = async (...operands: readonly string[]): Promise<string> => {
    const result = await ctr(...operands);
    if (result.status !== 0)
      throw new Error(`ctr ${operands.join(" ")}: status ${result.status}: ${result.stderr.trim()}`);
    return result.stdout.replace(/\r?\n$/, "");
  };

  const engine: TestEngine = {
    root,
    state,
    scratch,
    env,
    ctr,
    ctrWith,
    ok,
    async fails(status, ...operands) {
      const result = await ctr(...operands);
      expect(result.status).toBe(status);
      return result.stderr;
    },
    spawn: (...operands) =>
      Bun.spawn([binary(), ...operands], {
        env: { ...process.env, ...env },
        cwd: scratch,
        stdin: "pipe",
        stdout: "pipe",
        stderr: "pipe",
      }),
    session: (...operands) => openSession([binary(), ...operands], { env }),
    sessionWith: (options, ...operands) => openSession([binary(), ...operands], { env: { ...env, ...options.env } }),
    image(name) {
      const known = imported.get(name) ?? importImage(name);
      imported.set(name, known);
      return known;
    },
    expectNothingLeft: () => expectNothingLeft(engine, before),
    netd: () =>
      processes().find((found) => isNetd(found) && found.state !== "Z" && found.command.includes(state))?.pid ??
      processes().find((found) => isNetd(found) && found.state !== "Z")?.pid,
  };
  return engine;

  async function importImage(name: ImageName): Promise<string> {
    const result = await ctrWith({ timeoutMs: 120_000 }, "import", imageArchive(name), name);
    if (result.status !== 0) throw new Error(`import ${name}: ${result.stderr}`);
    return name;
  }
}

/** The path of a root file system archive, made if it is missing. */
export function imageArchive(name: ImageName): string {
  const made = Bun.spawnSync([IMAGES, name], { stderr: "inherit" });
  if (made.exitCode !== 0) throw new Error(`test/images/make ${name} failed`);
  return made.stdout.toString().trim();
}

async function expectNothingLeft(engine: TestEngine, before: Snapshot): Promise<void> {
  const ids = (await engine.ok("ps", "-aq")).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await engine.ok("rm", "-f", "-v", ...ids);
  if (isDocker()) return; // dockerd's own housekeeping is not ours to judge
  // What is being torn down may take a moment; what stays is a leak.
  let leaks: readonly string[] = [];
  await waitFor(
    "the engine to clean up",
    () => {
      leaks = leaksSince(before, engine);
      return leaks.length === 0;
    },
    5_000,
  ).catch(() => {
    throw new Error(`left behind:\n${leaks.join("\n")}`);
  });
}

/** Removes the containers, checks for leaks, then ends netd: whatever happens, nothing keeps running. */
async function takeDown(engine: TestEngine): Promise<void> {
  try {
    await engine.expectNothingLeft();
  } finally {
    for (const found of processes()) {
      if (isNetd(found) && found.pid !== process.pid && found.parent !== process.pid)
        process.kill(found.pid, "SIGKILL");
    }
  }
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function shorten(text: string): string {
  return text.length <= 4000 ? text : `${text.slice(0, 2000)}\n… ${text.length - 4000} more …\n${text.slice(-2000)}`;
}
