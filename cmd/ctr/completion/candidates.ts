/**
 * What may stand next on a command line: commands, flags, values of flags, names of what there is. The shells' scripts
 * ask for it with `ctr __complete -- WORDS`; the last word is the one being typed, possibly empty.
 */
import type { FlagDefinitions } from "../command.ts";
import { type AnyCommand, COMMANDS, type Entry, type Table } from "../commands.ts";
import { type Names, operandsOf } from "./operands.ts";
import { valuesOf } from "./values.ts";

export interface Candidate {
  /** The whole word, with what is typed of it. */
  readonly word: string;
  readonly description: string;
}

/** How the shell goes on: files of the machine fit too, or the word is not finished with this. */
export interface Completions {
  readonly candidates: readonly Candidate[];
  readonly mayBeFile: boolean;
  readonly isUnfinished: boolean;
}

/** Candidates that are not typed to their end: `status=`, `name:`. */
export interface Values {
  readonly words: readonly string[];
  readonly mayBeFile?: boolean;
  readonly isUnfinished?: boolean;
}

export const NOTHING: Values = { words: [] };
export const FILES: Values = { words: [], mayBeFile: true };

/** Completes the last of `words`; `globals` are the flags before a command. */
export async function complete(words: readonly string[], globals: FlagDefinitions, names: Names): Promise<Completions> {
  const typed = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const place = await findPlace(before, globals);
  const { flags, pendingFlag } = place;
  if (pendingFlag !== undefined) {
    return fitting(await valuesOf(place.path, pendingFlag, typed, names), typed, "");
  }
  if (place.mayHaveFlags && typed.startsWith("-")) {
    const equals = typed.indexOf("=");
    const name = typed.slice(2, Math.max(equals, 0));
    if (typed.startsWith("--") && equals > 0 && Object.hasOwn(flags, name)) {
      const values =
        flags[name]?.type === "boolean"
          ? { words: ["true", "false"] }
          : await valuesOf(place.path, name, typed.slice(equals + 1), names);
      return fitting(values, typed.slice(equals + 1), typed.slice(0, equals + 1));
    }
    return { candidates: flagCandidates(flags, typed), mayBeFile: false, isUnfinished: false };
  }
  if (place.command === undefined) {
    return { candidates: await commandCandidates(place.table, typed), mayBeFile: false, isUnfinished: false };
  }
  return fitting(await operandsOf(place.path, place.operands, typed, names), typed, "");
}

/** Of the values those that begin as typed, with what stands before them in the word. */
function fitting(values: Values, typed: string, prefix: string): Completions {
  return {
    candidates: values.words
      .filter((word) => word.startsWith(typed))
      .map((word) => ({ word: prefix + word, description: "" })),
    mayBeFile: values.mayBeFile === true,
    isUnfinished: values.isUnfinished === true,
  };
}

interface Place {
  /** Names of the command so far. */
  readonly path: readonly string[];
  /** The commands that may come next. */
  readonly table: Table;
  readonly command: AnyCommand | undefined;
  readonly flags: FlagDefinitions;
  readonly mayHaveFlags: boolean;
  /** The flag whose value comes next. */
  readonly pendingFlag: string | undefined;
  readonly operands: readonly string[];
}

/** Where the command line stands after these words. */
async function findPlace(words: readonly string[], globals: FlagDefinitions): Promise<Place> {
  let table: Table = COMMANDS;
  let command: AnyCommand | undefined;
  let flags = globals;
  let mayHaveFlags = true;
  let pendingFlag: string | undefined;
  const path: string[] = [];
  const operands: string[] = [];
  for (const word of words) {
    if (pendingFlag !== undefined) {
      pendingFlag = undefined;
    } else if (mayHaveFlags && word === "--") {
      mayHaveFlags = false;
    } else if (mayHaveFlags && word.length > 1 && word.startsWith("-")) {
      pendingFlag = waitingFlag(flags, word);
    } else if (command === undefined) {
      if (word === "help" && path.length === 0) continue;
      const next: Entry | Table[string] | undefined = table[word];
      if (next === undefined) return { path, table: {}, command, flags, mayHaveFlags, pendingFlag, operands };
      path.push(word);
      if ("load" in next) {
        ({ command } = await next.load());
        flags = command.flags;
      } else {
        table = next.commands;
        flags = {};
      }
    } else {
      operands.push(word);
      if (command.stopsAtOperand === true) mayHaveFlags = false;
    }
  }
  return { path, table, command, flags, mayHaveFlags, pendingFlag, operands };
}

/** The flag of this word that still waits for its value. */
function waitingFlag(flags: FlagDefinitions, word: string): string | undefined {
  if (word.includes("=")) return undefined;
  if (word.startsWith("--")) {
    const name = word.slice(2);
    return flags[name]?.type === "string" ? name : undefined;
  }
  // -itv: the first letter that takes a value takes the rest of the word, if there is one.
  for (let at = 1; at < word.length; at++) {
    const name = Object.keys(flags).find((candidate) =>
      [flags[candidate]?.alias ?? []].flat().includes(word[at] ?? ""),
    );
    if (name === undefined || flags[name]?.type !== "string") continue;
    return at === word.length - 1 ? name : undefined;
  }
  return undefined;
}

function flagCandidates(flags: FlagDefinitions, typed: string): readonly Candidate[] {
  const found: Candidate[] = [];
  for (const name of [...Object.keys(flags), "help"].sort()) {
    const description = firstLine(flags[name]?.description ?? "Print usage");
    found.push({ word: `--${name}`, description });
    if (typed !== "-") continue;
    const letter = [flags[name]?.alias ?? []].flat().find((alias) => alias.length === 1);
    if (letter !== undefined) found.push({ word: `-${letter}`, description });
  }
  return found.filter(({ word }) => word.startsWith(typed));
}

async function commandCandidates(table: Table, typed: string): Promise<readonly Candidate[]> {
  const names = Object.keys(table).filter((name) => name.startsWith(typed));
  const candidates = await Promise.all(
    names.sort().map(async (name) => {
      const entry = table[name];
      if (entry === undefined || ("load" in entry && entry.isHidden === true)) return [];
      const description = "load" in entry ? (await entry.load()).command.meta.description : entry.description;
      return [{ word: name, description: firstLine(description) }];
    }),
  );
  return candidates.flat();
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}
