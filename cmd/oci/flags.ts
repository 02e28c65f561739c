/** The flags of an OCI runtime's command line, as Go programs read them: `--name value`, `-name=value`, `-n value`. */
import { CtrError } from "../../internal/errors/error.ts";

/** A flag without a value, one with a value, or one that may come often. */
export type FlagKind = "switch" | "text" | "list";

/** By name; a short one after a comma: `"bundle,b"`. */
export interface FlagTable {
  readonly [names: string]: FlagKind;
}

/** What was given. A name that the table has not is never given. */
export class Flags {
  readonly #given: ReadonlyMap<string, readonly string[]>;

  constructor(given: ReadonlyMap<string, readonly string[]>) {
    this.#given = given;
  }

  /** The last value; undefined when the flag was not given. */
  text(name: string): string | undefined {
    return this.#given.get(name)?.at(-1);
  }

  /** Every value, in order. */
  list(name: string): readonly string[] {
    return this.#given.get(name) ?? [];
  }

  isSet(name: string): boolean {
    return this.text(name) === "true";
  }

  /** A whole number, or undefined. Throws `invalid` for anything else. */
  integer(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (/^-?\d{1,15}$/.test(text)) return Number(text);
    throw new CtrError("invalid", `invalid value "${text}" for flag -${name}: parse error`);
  }
}

export interface ParsedFlags {
  readonly flags: Flags;
  readonly operands: readonly string[];
}

/** Reads them. With `stopsAtOperand` everything from the first operand on is operands. */
export function parseFlags(table: FlagTable, words: readonly string[], stopsAtOperand: boolean): ParsedFlags {
  const known = new Map<string, { readonly name: string; readonly kind: FlagKind }>();
  for (const [names, kind] of Object.entries(table)) {
    const [name = "", ...aliases] = names.split(",");
    for (const alias of [name, ...aliases]) known.set(alias, { name, kind });
  }
  const given = new Map<string, string[]>();
  const operands: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") {
      operands.push(...words.slice(at + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      operands.push(word);
      if (!stopsAtOperand) continue;
      operands.push(...words.slice(at + 1));
      break;
    }
    const [, written = "", value] = /^--?([^=]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
    const flag = known.get(written);
    if (flag === undefined) throw new CtrError("invalid", `flag provided but not defined: -${written}`);
    let taken = value;
    if (taken === undefined && flag.kind === "switch") taken = "true";
    if (taken === undefined) taken = words[++at];
    if (taken === undefined) throw new CtrError("invalid", `flag needs an argument: -${written}`);
    if (flag.kind === "switch") taken = boolean(taken, flag.name);
    given.set(flag.name, [...(given.get(flag.name) ?? []), taken]);
  }
  return { flags: new Flags(given), operands };
}

/** Go's words for true and false (strconv.ParseBool). */
function boolean(text: string, name: string): string {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return "true";
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return "false";
  throw new CtrError("invalid", `invalid boolean value "${text}" for -${name}: parse error`);
}
