/**
 * `ctr oci`, or `ctr-oci` when the executable is called by that name: runc's command line. Global flags, the subcommand's
 * name, its flags, its action, its exit status; a failure goes to the log that the caller reads.
 */
import { CtrError } from "../../internal/errors/error.ts";
import { exitGroup } from "../../internal/sys/process.ts";
import type { Globals, OciCommand } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { type Flags, type FlagTable, parseFlags } from "./flags.ts";
import { type Log, openLog, print } from "./log.ts";

const GLOBAL_FLAGS: FlagTable = {
  debug: "switch",
  log: "text",
  "log-format": "text",
  root: "text",
  criu: "text",
  "systemd-cgroup": "switch",
  rootless: "text",
  "help,h": "switch",
  "version,v": "switch",
};

const NOT_FOUND_STATUS = 3;

/** `ctr oci …` and `ctr-oci …` differ in how many words come before. */
const WORDS = process.argv.slice(process.argv[2] === "oci" ? 3 : 2);

exitGroup(await main());

async function main(): Promise<number> {
  let log = openLog({ isJson: false, isDebug: false });
  let command: OciCommand | undefined;
  try {
    const { flags, operands } = parseFlags(GLOBAL_FLAGS, WORDS, true);
    log = logOf(flags);
    const [name, ...words] = operands;
    if (flags.isSet("version")) return await printVersion();
    if (name === undefined || name === "help" || flags.isSet("help")) return await help(words);
    const load = COMMANDS[name];
    if (load === undefined) throw noTopic(name);
    const loaded = (await load()).command;
    const parsed = parseFlags({ ...loaded.flags, "help,h": "switch" }, words, loaded.stopsAtOperand === true);
    if (parsed.flags.isSet("help")) return await help([name]);
    checkOperands(name, loaded, parsed.operands.length);
    // What is wrong with a command line is no failure of the command's.
    command = loaded;
    return await command.run({ ...parsed, globals: globalsOf(flags, log) });
  } catch (error) {
    log.fatal(words(error, command));
    const status = error instanceof CtrError && command === undefined ? error.exitStatus : undefined;
    return status ?? command?.failureStatus ?? 1;
  }
}

function noTopic(name: string): CtrError {
  return new CtrError("not-found", `No help topic for '${name}'`, { exitStatus: NOT_FOUND_STATUS });
}

function logOf(flags: Flags): Log {
  const path = flags.text("log");
  const format = flags.text("log-format") ?? "text";
  if (format !== "text" && format !== "json") throw new CtrError("invalid", `invalid log-format: ${format}`);
  const file = path === undefined || path === "" || path === "/dev/stderr" ? {} : { path };
  return openLog({ ...file, isJson: format === "json", isDebug: flags.isSet("debug") });
}

function globalsOf(flags: Flags, log: Log): Globals {
  checkRootless(flags.text("rootless"));
  const root = flags.text("root") ?? defaultRoot(process.geteuid?.() ?? 0);
  return {
    root: root.startsWith("/") ? root : `${process.cwd()}/${root}`,
    usesSystemd: flags.isSet("systemd-cgroup"),
    log,
  };
}

function defaultRoot(uid: number): string {
  const runtime = process.env["XDG_RUNTIME_DIR"];
  return uid !== 0 && runtime !== undefined && runtime !== "" ? `${runtime}/ctr-oci` : "/run/ctr-oci";
}

/** Accepted: what may be done without root is the kernel's to say, whatever the caller expects. */
function checkRootless(word: string | undefined): void {
  if (word === undefined || /^(|true|false|auto)$/.test(word)) return;
  throw new CtrError("invalid", `invalid value "${word}" for flag -rootless: must be true, false or auto`);
}

function checkOperands(name: string, { operands: [least, most] }: OciCommand, count: number): void {
  if (count >= least && count <= most) return;
  const bound = count < least ? `a minimum of ${least}` : `a maximum of ${most}`;
  const wanted = least === most ? `exactly ${least}` : bound;
  throw new CtrError("invalid", `ctr oci: "${name}" requires ${wanted} argument(s)`);
}

function words(error: unknown, command: OciCommand | undefined): string {
  const first = error instanceof SuppressedError ? error.suppressed : error;
  const message = first instanceof Error ? first.message : String(first);
  return command?.failure === undefined ? message : `${command.failure}: ${message}`;
}

async function printVersion(): Promise<number> {
  const { versionText } = await import("./version.ts");
  print(versionText());
  return 0;
}

async function help(words: readonly string[]): Promise<number> {
  const [name] = words;
  if (name !== undefined && COMMANDS[name] === undefined) throw noTopic(name);
  const { helpText } = await import("./help.ts");
  print(await helpText(words[0]));
  return 0;
}
