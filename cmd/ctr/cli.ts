/** The role of a person's command: global flags, the command's name, its flags, its action, its exit status. */
import { CtrError } from "../../internal/errors/error.ts";
import { exitGroup } from "../../internal/sys/process.ts";
import { COMMANDS, type Entry, type Table, visibleNames } from "./commands.ts";
import { reportFailure } from "./fail.ts";
import { type FlagsOutcome, parseFlags, UsageError } from "./flags.ts";
import { engineDirectories, GLOBAL_FLAGS } from "./global-flags.ts";
import { nearest } from "./nearest.ts";

exitGroup(await main(process.argv.slice(2)));

async function main(words: readonly string[]): Promise<number> {
  // Until the command is known a failure is about `ctr` itself.
  let path = "ctr";
  let usage = "ctr [OPTIONS] COMMAND [ARG...]";
  let failureStatus = 1;
  let isDebug = false;
  try {
    const globals = parseFlags(GLOBAL_FLAGS, words, true);
    isDebug = globals.values.debug;
    if (globals.values.config !== undefined) process.env["DOCKER_CONFIG"] = globals.values.config;
    if (globals.help) return await showOverview([], globals);
    if (globals.values.version) return await printVersion();
    const found = find(globals.operands);
    if (found.entry === undefined) return await showOverview(found.path, globals);
    path = ["ctr", ...found.path].join(" ");
    if (found.entry.isBusy === true) (await import("./start-busy.ts")).startBusy();
    // The executable starts with a policy for commands that are over soon (build.ts).
    if (found.entry.isLong === true || found.entry.isBusy === true) Bun.unsafe.setJITPolicy(1);
    const { command } = await found.entry.load();
    usage = `${path} ${command.usage}`.trimEnd();
    failureStatus = command.failureStatus ?? 1;
    const outcome = parseFlags(
      command.flags,
      [...(found.entry.preset ?? []), ...found.rest],
      command.stopsAtOperand === true,
    );
    if (outcome.help) {
      const { printCommandHelp } = await import("./help.ts");
      await printCommandHelp(found.path, command, outcome.isShortHelp);
      return 0;
    }
    checkOperands(path, command.operands, outcome.operands.length);
    if (found.entry.isForEverybody !== true && process.geteuid?.() !== 0) {
      throw new CtrError("denied", "permission denied: the engine is root's, and so are its commands");
    }
    const directories = engineDirectories(globals.values);
    if (directories.storageDriver !== undefined && found.entry.isForEverybody !== true) {
      const { useStorageDriver } = await import("./storage-driver.ts");
      useStorageDriver(directories);
    }
    const call = { flags: outcome.values, operands: outcome.operands, directories };
    // The flags were parsed by the command's own definitions: that is the type its action takes.
    return await command.run(call as never);
  } catch (caught) {
    const error = caught instanceof UsageError ? await explained(caught, path) : caught;
    return reportFailure(error, { path, usage, failureStatus, isDebug });
  }
}

/** A flag of Docker's that makes no sense here is told apart from one that nobody knows. */
async function explained(error: UsageError, path: string): Promise<UsageError> {
  if (error.unknownFlag === undefined) return error;
  const { whyRefused } = await import("./refused-flags.ts");
  const why = whyRefused(path.split(" ").slice(1), error.unknownFlag);
  if (why === undefined) return error;
  const dashes = error.unknownFlag.length === 1 ? "-" : "--";
  return new UsageError(`${dashes}${error.unknownFlag} is not supported: ${why}`, 125);
}

/** Walks the table: `container ls` is two words, `ps` one. Throws for a word that is no command. */
function find(words: readonly string[]): {
  readonly path: readonly string[];
  readonly entry?: Entry;
  readonly rest: readonly string[];
} {
  let table: Table = COMMANDS;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    const next = table[word];
    const path = words.slice(0, at + 1);
    if (next === undefined) {
      // `ctr container --help` and `ctr help run`
      if (word === "--help" || word === "-h" || (word === "help" && at === 0)) {
        return { path: at === 0 ? words.slice(1) : words.slice(0, at), rest: [] };
      }
      if (at > 0 && word.startsWith("-")) {
        const what = word.startsWith("--")
          ? `unknown flag: ${word}`
          : `unknown shorthand flag: '${word[1] ?? ""}' in ${word}`;
        throw new UsageError(what, 125, groupUsage(words.slice(0, at)));
      }
      throw unknownCommand(path, table);
    }
    if ("load" in next) return { path, entry: next, rest: words.slice(at + 1) };
    table = next.commands;
  }
  return { path: words, rest: [] };
}

function unknownCommand(path: readonly string[], table: Table): UsageError {
  const guesses = nearest(path.at(-1) ?? "", visibleNames(table));
  const message = `ctr: unknown command: ctr ${path.join(" ")}`;
  return new UsageError(message, 1, groupUsage(path.slice(0, -1)), undefined, { guesses });
}

/** What stands after a message about a group, or (no path) about `ctr` itself. */
function groupUsage(path: readonly string[]): string {
  const name = ["ctr", ...path].join(" ");
  return `${path.length === 0 ? "" : `\n\nUsage:  ${name}`}\n\nRun '${name} --help' for more information`;
}

/** Docker's words for a wrong number of operands; status 1. */
function checkOperands(path: string, [least, most]: readonly [number, number], count: number): void {
  if (count >= least && count <= most) return;
  const s = (n: number) => `${n} argument${n === 1 ? "" : "s"}`;
  const hint = (verb: string) => `\n\n${verb} '${path} --help' for more information`;
  if (most === 0) throw new UsageError(`ctr: '${path}' accepts no arguments`, 1, undefined, hint("Run"));
  if (least === most) throw new UsageError(`ctr: '${path}' requires ${s(least)}`, 1, undefined, hint("Run"));
  if (most === Number.POSITIVE_INFINITY)
    throw new UsageError(`ctr: '${path}' requires at least ${s(least)}`, 1, undefined, hint("See"));
  if (least === 0) throw new UsageError(`ctr: '${path}' requires at most ${s(most)}`, 1, undefined, hint("See"));
  throw new UsageError(`ctr: '${path}' requires at least ${least} and at most ${s(most)}`, 1, undefined, hint("See"));
}

async function printVersion(): Promise<number> {
  const [{ VERSION, COMMIT }, { printLine }] = await Promise.all([
    import("../../internal/sys/build-stamp.ts"),
    import("./output.ts"),
  ]);
  printLine(`ctr version ${VERSION}, build ${COMMIT.slice(0, 7)}`);
  return 0;
}

/** Help on `ctr`, on a group, or (`ctr help run`) on a command. */
async function showOverview(path: readonly string[], globals: FlagsOutcome<typeof GLOBAL_FLAGS>): Promise<number> {
  const { printCommandHelp, printGroupHelp } = await import("./help.ts");
  const words = path.length > 0 || !globals.help ? path : globals.operands;
  const found = find(words);
  if (found.entry === undefined) await printGroupHelp(found.path, GLOBAL_FLAGS);
  else await printCommandHelp(found.path, (await found.entry.load()).command, false);
  return 0;
}
