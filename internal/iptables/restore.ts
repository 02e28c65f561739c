/** Running iptables-save and iptables-restore, of whichever kind the host has (nft or legacy). */
import { CtrError } from "../errors/error.ts";

/** Where distributions keep them: nothing found in a caller's PATH is run. */
const SEARCH_PATH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin";
/** How long to wait for another program that holds the legacy kind's lock. */
const LOCK_WAIT_SECONDS = 30;

/** All rules of all tables, as `iptables-save` writes them. Throws CtrError when it is missing or fails. */
export function saveRules(family: Family = 4): Promise<string> {
  return run(family === 6 ? "ip6tables-save" : "iptables-save", [], "");
}

/** Which of the two packet filters. */
export type Family = 4 | 6;

/** Hears sooner than by a program's end that it has done what it should. */
export interface CommitWatch {
  /** Resolves when the process has changed something; never, if that cannot be told. */
  done(pid: number): Promise<void>;
}

/** Applies `rules` and leaves every chain that they do not name as it is. Throws CtrError with the program's own words. */
export async function restoreRules(rules: string, family: Family = 4, watch?: CommitWatch): Promise<void> {
  const program = family === 6 ? "ip6tables-restore" : "iptables-restore";
  const isOneTable = rules.indexOf("COMMIT") === rules.lastIndexOf("COMMIT");
  const { child, ended } = start(program, ["--noflush", "-w", String(LOCK_WAIT_SECONDS)], rules);
  // One table is one change, and after that there is nothing left that could fail.
  await (watch !== undefined && isOneTable ? Promise.race([ended, watch.done(child.pid)]) : ended);
}

/** False on a host that has no such packet filter. */
export function isInstalled(family: Family): boolean {
  return Bun.which(family === 6 ? "ip6tables-save" : "iptables-save", { PATH: SEARCH_PATH }) !== null;
}

/** Which iptables the host has: `iptables v1.8.9 (nf_tables)`; "" where it has none. */
export async function backEnd(): Promise<string> {
  if (Bun.which("iptables", { PATH: SEARCH_PATH }) === null) return "";
  return (await run("iptables", ["--version"], "")).trim();
}

async function run(program: string, args: readonly string[], input: string): Promise<string> {
  return await start(program, args, input).ended;
}

function start(
  program: string,
  args: readonly string[],
  input: string,
): { readonly child: Bun.Subprocess; readonly ended: Promise<string> } {
  const path = Bun.which(program, { PATH: SEARCH_PATH });
  if (path === null)
    throw new CtrError("unavailable", `${program} is not installed: the bridge network needs iptables`);
  const child = Bun.spawn([path, ...args], {
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: SEARCH_PATH, LANG: "C" },
    cwd: "/",
  });
  const finish = async (): Promise<string> => {
    const [output, words, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (status !== 0) throw new CtrError("unavailable", `${program}: ${reason(words, input) ?? `status ${status}`}`);
    return output;
  };
  return { child, ended: finish() };
}

/** The first line that says something, with the rule it is about. */
function reason(words: string, input: string): string | undefined {
  const line = words.split("\n").find((candidate) => candidate.trim() !== "" && !candidate.startsWith("#"));
  if (line === undefined) return undefined;
  const at = Number(/line:? (\d+)/.exec(words)?.[1]);
  const rule = input.split("\n")[at - 1];
  return rule === undefined ? line.trim() : `${line.trim()} (${rule})`;
}
