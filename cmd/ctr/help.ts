/** `--help` in Docker's layout. Never on the path of a command that does something. */
import type { FlagDefinitions } from "./command.ts";
import { type AnyCommand, COMMANDS, type Entry, type Table, visibleNames } from "./commands.ts";
import { examplesOf } from "./examples.ts";
import { bold, dim, mayColour } from "./format/colour.ts";
import { print, printError, STDOUT } from "./output.ts";

/** Where the text wraps: what Docker does without a terminal. */
const LINE_WIDTH = 80;
const COMMON = ["run", "exec", "ps", "images", "version", "info"];

/** `ctr run --help`. */
export async function printCommandHelp(
  path: readonly string[],
  command: AnyCommand,
  isShortHelp: boolean,
): Promise<void> {
  if (isShortHelp) printError("Flag shorthand -h has been deprecated, use --help");
  const name = ["ctr", ...path].join(" ");
  let text = `Usage:  ${`${name} ${command.usage}`.trimEnd()}\n\n${command.meta.description}\n`;
  const aliases = aliasesOf(path);
  if (aliases.length > 1) text += `\nAliases:\n  ${aliases.join(", ")}\n`;
  const examples = examplesOf(path).map(([what, line]) => `  # ${what}\n  ${line}\n`);
  if (examples.length > 0) text += `\nExamples:\n${examples.join("\n")}`;
  const options = optionLines(command.flags);
  if (options !== "") text += `\nOptions:\n${options}`;
  printHelp(text);
}

/** On a terminal headings stand out, and comments stand back. */
function printHelp(text: string): void {
  if (!mayColour(STDOUT)) print(text);
  else print(text.replace(/^[A-Z][A-Za-z ]*:(?= |$)/gm, bold).replace(/^ {2}# .*$/gm, dim));
}

/** `ctr --help` (no path) or `ctr container --help`. */
export async function printGroupHelp(path: readonly string[], globals: FlagDefinitions): Promise<void> {
  if (path.length === 0) {
    printHelp(await overview(globals));
    return;
  }
  const name = ["ctr", ...path].join(" ");
  const group = COMMANDS[path[0] ?? ""];
  if (group === undefined || "load" in group) return;
  let text = `Usage:  ${name} COMMAND\n\n${group.description}\n\nCommands:\n`;
  text += await commandLines(primaryNames(group.commands), group.commands);
  text += `\nRun '${name} COMMAND --help' for more information on a command.\n`;
  printHelp(text);
}

async function overview(globals: FlagDefinitions): Promise<string> {
  const names = visibleNames(COMMANDS);
  const isGroup = (name: string) => !("load" in (COMMANDS[name] ?? {}));
  let text = "Usage:  ctr [OPTIONS] COMMAND\n\nA container engine for Linux servers in one self-contained executable\n";
  text += `\nCommon Commands:\n${await commandLines(COMMON, COMMANDS)}`;
  text += `\nManagement Commands:\n${await commandLines(names.filter(isGroup), COMMANDS)}`;
  const others = names.filter((name) => !isGroup(name) && !COMMON.includes(name));
  text += `\nCommands:\n${await commandLines(others, COMMANDS)}`;
  text += `\nGlobal Options:\n${optionLines(globals)}`;
  return `${text}\nRun 'ctr COMMAND --help' for more information on a command.\n`;
}

async function commandLines(names: readonly string[], table: Table): Promise<string> {
  let text = "";
  for (const name of names) {
    const entry = table[name];
    if (entry === undefined) continue;
    const description = "load" in entry ? (await entry.load()).command.meta.description : entry.description;
    text += `  ${name.padEnd(11)} ${description}\n`;
  }
  return text;
}

/** The names of a group without those Docker lists only as aliases. */
function primaryNames(table: Table): readonly string[] {
  return Object.keys(table).filter((name) => !["list", "ps", "remove"].includes(name));
}

/** Every way to say this command, the group's first, as Docker lists them. */
function aliasesOf(path: readonly string[]): readonly string[] {
  const own = lookup(path);
  const found: string[] = [];
  for (const [name, entry] of Object.entries(COMMANDS)) {
    if ("load" in entry) continue;
    for (const [verb, candidate] of Object.entries(entry.commands))
      if (isSame(candidate, own)) found.push(`ctr ${name} ${verb}`);
  }
  for (const [name, entry] of Object.entries(COMMANDS)) if (isSame(entry, own)) found.push(`ctr ${name}`);
  return found;
}

function lookup(path: readonly string[]): Entry | undefined {
  const first = COMMANDS[path[0] ?? ""];
  const found = first !== undefined && !("load" in first) ? first.commands[path[1] ?? ""] : first;
  return found !== undefined && "load" in found ? found : undefined;
}

function isSame(entry: Table[string], own: Entry | undefined): boolean {
  return entry !== undefined && "load" in entry && entry === own;
}

/** One block per flag, sorted, the descriptions in a column of their own (pflag's FlagUsagesWrapped). */
function optionLines(flags: FlagDefinitions): string {
  const rows: { readonly left: string; readonly description: string }[] = [];
  for (const name of Object.keys(flags).sort()) {
    const flag = flags[name];
    if (flag === undefined) continue;
    const short = [flag.alias ?? []].flat().find((alias) => alias.length === 1);
    const isBoolean = flag.type === "boolean";
    const hint = isBoolean ? "" : ` ${flag.valueHint ?? "string"}`;
    const preset =
      !isBoolean && typeof flag.default === "string" && flag.default !== ""
        ? ` (default ${presetText(flag.valueHint, flag.default)})`
        : "";
    rows.push({
      left: `  ${short === undefined ? "   " : `-${short},`} --${name}${hint}`,
      description: `${flag.description ?? ""}${preset}`,
    });
  }
  const column = Math.max(0, ...rows.map((row) => row.left.length)) + 3;
  let text = "";
  for (const { left, description } of rows) {
    const [first = "", ...more] = description.split("\n").flatMap((line) => wrap(line, LINE_WIDTH - column));
    text += `${left.padEnd(column)}${first}\n`;
    for (const line of more) text += `${" ".repeat(column)}${line}\n`;
  }
  return text;
}

function presetText(hint: string | undefined, value: string): string {
  return hint === undefined || hint === "string" ? JSON.stringify(value) : value;
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > Math.max(24, width)) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
