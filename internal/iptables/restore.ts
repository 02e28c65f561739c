/** Running iptables-save and iptables-restore, of whichever kind the host has (nft or legacy). */
import { CtrError, EPIPE, isErrno } from "../errors/error.ts";
import { type Fd, pipe2, writeAll } from "../sys/fd.ts";

/** Where distributions keep them: nothing found in a caller's PATH is run. */
const SEARCH_PATH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin";
/** How long to wait for another program that holds the legacy kind's lock. */
const LOCK_WAIT_SECONDS = 30;

/** All rules of all tables, as `iptables-save` writes them. Throws CtrError when it is missing or fails. */
export function saveRules(family: Family = 4): Promise<string> {
  return run(family === 6 ? "ip6tables-save" : "iptables-save", []);
}

/** Which of the two packet filters. */
export type Family = 4 | 6;

/** Hears sooner than by a program's end that it has done what it should. */
export interface CommitWatch {
  /** Resolves when the process has changed something; never, if that cannot be told. */
  done(pid: number): Promise<void>;
}

/** A program that has been started and waits for its rules: they are in force sooner. Without any it changes nothing. */
export interface WaitingRestore {
  /** Applies them, and leaves every chain that they do not name as it is. Throws CtrError with the program's own words. */
  apply(rules: string, watch?: CommitWatch): Promise<void>;
  /** Ends it without rules; nothing once it has had some. */
  dismiss(): void;
}

/** Starts it. The lock of the legacy kind is taken when the first rule is read. Throws `unavailable` where there is none. */
export function startRestore(family: Family = 4): WaitingRestore {
  const program = family === 6 ? "ip6tables-restore" : "iptables-restore";
  const args = ["--noflush", "-w", String(LOCK_WAIT_SECONDS)];
  const { read: reader, write: writer } = pipe2();
  using _ = reader;
  let child: Child;
  try {
    child = start(program, args, reader.number);
  } catch (error) {
    writer.close();
    throw error;
  }
  return {
    async apply(rules, watch) {
      const bytes = new TextEncoder().encode(rules);
      const isAtOnce = bytes.length <= PIPE_BYTES;
      if (isAtOnce) give(writer, bytes);
      writer.close();
      const { pid, ended } = isAtOnce ? child : start(program, args, new Blob([rules]));
      const done = outcome(program, ended, rules);
      const isOneTable = rules.indexOf("COMMIT") === rules.lastIndexOf("COMMIT");
      // One table is one change, and after that there is nothing left that could fail.
      await (watch !== undefined && isOneTable ? Promise.race([done, watch.done(pid)]) : done);
    },
    dismiss: () => writer.close(),
  };
}

/** What a pipe takes without anybody having to read (pipe(7)). More is given by the event loop, to a program of its own. */
const PIPE_BYTES = 65536;

function give(writer: Fd, bytes: Uint8Array): void {
  try {
    writeAll(writer.number, bytes);
  } catch (error) {
    // It has ended already: its status says why.
    if (!isErrno(error, EPIPE)) throw error;
  }
}

/** False on a host that has no such packet filter. */
export function isInstalled(family: Family): boolean {
  return Bun.which(family === 6 ? "ip6tables-save" : "iptables-save", { PATH: SEARCH_PATH }) !== null;
}

/** Which iptables the host has: `iptables v1.8.9 (nf_tables)`; "" where it has none. */
export async function backEnd(): Promise<string> {
  if (Bun.which("iptables", { PATH: SEARCH_PATH }) === null) return "";
  return (await run("iptables", ["--version"])).trim();
}

async function run(program: string, args: readonly string[]): Promise<string> {
  return await outcome(program, start(program, args, "ignore").ended, "");
}

interface Child {
  readonly pid: number;
  /** Its output, its words, its status. */
  readonly ended: Promise<readonly [output: string, words: string, status: number]>;
}

function start(program: string, args: readonly string[], stdin: number | Blob | "ignore"): Child {
  const path = Bun.which(program, { PATH: SEARCH_PATH });
  if (path === null)
    throw new CtrError("unavailable", `${program} is not installed: the bridge network needs iptables`);
  const child = Bun.spawn([path, ...args], {
    stdin,
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: SEARCH_PATH, LANG: "C" },
    cwd: "/",
  });
  return { pid: child.pid, ended: Promise.all([child.stdout.text(), child.stderr.text(), child.exited]) };
}

async function outcome(program: string, ended: Child["ended"], input: string): Promise<string> {
  const [output, words, status] = await ended;
  if (status !== 0) throw new CtrError("unavailable", `${program}: ${reason(words, input) ?? `status ${status}`}`);
  return output;
}

/** The first line that says something, with the rule it is about. */
function reason(words: string, input: string): string | undefined {
  const line = words.split("\n").find((candidate) => candidate.trim() !== "" && !candidate.startsWith("#"));
  if (line === undefined) return undefined;
  const at = Number(/line:? (\d+)/.exec(words)?.[1]);
  const rule = input.split("\n")[at - 1];
  return rule === undefined ? line.trim() : `${line.trim()} (${rule})`;
}
