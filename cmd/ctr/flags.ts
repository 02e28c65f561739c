/**
 * Docker's (pflag's) flag grammar over a command's citty definition: `--flag=v`, `--flag v`, `-f v`, `-fv`, `-itd`,
 * `--bool=false`, `--` ends the flags, and with `stopsAtOperand` so does the first operand.
 */
import { CtrError } from "../../internal/errors/error.ts";
import type { BooleanFlag, FlagDefinitions, Flags, StringFlag } from "./command.ts";
import { nearest } from "./nearest.ts";

/** A wrong use of the command line: `fail.ts` prints it with the usage line. 125 for flags, 1 for operands. */
export class UsageError extends CtrError {
  /** What stands after the message: `usage` (undefined: the command's), then `hint` (undefined: Docker's usual line). */
  readonly usage: string | undefined;
  readonly hint: string | undefined;
  /** What was probably meant: printed after the message, a line each. */
  readonly guesses: readonly string[];
  /** The name or letter of the flag that the command does not have. */
  readonly unknownFlag: string | undefined;

  constructor(
    message: string,
    exitStatus: 125 | 1,
    usage?: string,
    hint?: string,
    more: { readonly guesses?: readonly string[]; readonly unknownFlag?: string } = {},
  ) {
    super("invalid", message, { exitStatus });
    this.usage = usage;
    this.hint = hint;
    this.guesses = more.guesses ?? [];
    this.unknownFlag = more.unknownFlag;
  }
}

export interface FlagsOutcome<D extends FlagDefinitions> {
  readonly values: Flags<D>;
  readonly operands: readonly string[];
  /** `--help` is among the flags. */
  readonly help: boolean;
  /** It was Docker's deprecated `-h`. */
  readonly isShortHelp: boolean;
}

type Definition = StringFlag | BooleanFlag;

/** Parses `words`. Throws UsageError with status 125. */
export function parseFlags<const D extends FlagDefinitions>(
  definitions: D,
  words: readonly string[],
  stopsAtOperand: boolean,
): FlagsOutcome<D> {
  const values: { [name: string]: boolean | string | string[] | undefined } = {};
  for (const name in definitions) {
    const definition = definitions[name];
    if (definition === undefined) continue;
    if (isBoolean(definition)) values[name] = definition.default === true;
    else values[name] = definition.repeatable === true ? [] : definition.default;
  }
  const operands: string[] = [];
  let help: "long" | "short" | undefined;
  let at = 0;

  const set = (name: string, definition: Definition, value: string) => {
    if (isBoolean(definition)) {
      values[name] = parseBool(name, definition, value);
      return;
    }
    checkValue(name, definition, value);
    // docker/cli opts.FilterOpt
    if (definition.valueHint === "filter" && value === "") return;
    const list = values[name];
    if (Array.isArray(list)) list.push(value);
    else values[name] = value;
  };

  while (at < words.length) {
    const word = words[at++] ?? "";
    if (word.length < 2 || word[0] !== "-") {
      operands.push(word);
      if (stopsAtOperand) break;
    } else if (word === "--") {
      break;
    } else if (word[1] === "-") {
      const equals = word.indexOf("=");
      const given = word.slice(2, equals < 0 ? undefined : equals);
      if (given === "" || given[0] === "-") throw new UsageError(`bad flag syntax: ${word}`, 125);
      const name = longName(definitions, given);
      const definition = name === undefined ? undefined : definitions[name];
      if (name === undefined || definition === undefined) {
        if (given !== "help") throw unknownFlag(definitions, given);
        help = "long";
      } else if (equals >= 0) {
        set(name, definition, word.slice(equals + 1));
      } else if (isBoolean(definition)) {
        values[name] = true;
      } else {
        const value = words[at++];
        if (value === undefined) throw new UsageError(`flag needs an argument: --${given}`, 125);
        set(name, definition, value);
      }
    } else {
      for (let rest = word.slice(1); rest !== ""; ) {
        const letter = rest[0] ?? "";
        const name = shortName(definitions, letter);
        const definition = name === undefined ? undefined : definitions[name];
        if (name === undefined || definition === undefined) {
          if (letter !== "h") {
            const message = `unknown shorthand flag: '${letter}' in -${rest}`;
            throw new UsageError(message, 125, undefined, undefined, { unknownFlag: letter });
          }
          help = "short";
          rest = rest.slice(1);
          continue;
        }
        if (rest.length > 2 && rest[1] === "=") {
          set(name, definition, rest.slice(2));
          break;
        }
        if (isBoolean(definition)) {
          values[name] = true;
          rest = rest.slice(1);
          continue;
        }
        const value = rest.length > 1 ? rest.slice(1) : words[at++];
        if (value === undefined) throw new UsageError(`flag needs an argument: '${letter}' in -${rest}`, 125);
        set(name, definition, value);
        break;
      }
    }
  }
  for (; at < words.length; at++) operands.push(words[at] ?? "");
  // Every name of `definitions` was given a value of its kind above.
  return { values: values as Flags<D>, operands, help: help !== undefined, isShortHelp: help === "short" };
}

function unknownFlag(definitions: FlagDefinitions, given: string): UsageError {
  const guesses = nearest(given, [...Object.keys(definitions), "help"]).map((name) => `--${name}`);
  return new UsageError(`unknown flag: --${given}`, 125, undefined, undefined, { guesses, unknownFlag: given });
}

function isBoolean(definition: Definition): definition is BooleanFlag {
  return definition.type === "boolean";
}

function longName(definitions: FlagDefinitions, given: string): string | undefined {
  if (Object.hasOwn(definitions, given)) return given;
  return given.length > 1 ? aliased(definitions, given) : undefined;
}

function shortName(definitions: FlagDefinitions, letter: string): string | undefined {
  return aliased(definitions, letter);
}

function aliased(definitions: FlagDefinitions, alias: string): string | undefined {
  for (const name in definitions) {
    const own = definitions[name]?.alias;
    if (own === alias || (Array.isArray(own) && own.includes(alias))) return name;
  }
  return undefined;
}

/** The flag as Docker names it in a message: `-a, --all`. */
export function flagLabel(name: string, definition: Definition | undefined): string {
  const aliases = definition?.alias === undefined ? [] : [definition.alias].flat();
  const short = aliases.find((alias) => alias.length === 1);
  return short === undefined ? `--${name}` : `-${short}, --${name}`;
}

// strconv.ParseBool
const TRUE = ["true", "1", "t", "T", "TRUE", "True"];
const FALSE = ["false", "0", "f", "F", "FALSE", "False"];

function parseBool(name: string, definition: Definition, value: string): boolean {
  if (TRUE.includes(value)) return true;
  if (FALSE.includes(value)) return false;
  throw invalidValue(name, definition, value, `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
}

/** Checks what the value hint promises: a value hinted `int` is a whole number, so a command may use `Number` on it. */
function checkValue(name: string, definition: StringFlag, value: string): void {
  switch (definition.valueHint) {
    case "int":
      if (!/^[+-]?\d{1,15}$/.test(value)) throw invalidValue(name, definition, value, numberFault("ParseInt", value));
      break;
    case "filter":
      if (!value.includes("=") && value !== "")
        throw invalidValue(name, definition, value, "bad format of filter (expected name=value)");
      break;
    case "uint":
      if (!/^\+?\d{1,15}$/.test(value)) throw invalidValue(name, definition, value, numberFault("ParseUint", value));
      break;
  }
}

/** What strconv says of it. */
function numberFault(call: "ParseInt" | "ParseUint", value: string): string {
  const isNumber = call === "ParseInt" ? /^[+-]?\d+$/.test(value) : /^\d+$/.test(value);
  return `strconv.${call}: parsing ${JSON.stringify(value)}: ${isNumber ? "value out of range" : "invalid syntax"}`;
}

/** The error for a value that a flag cannot take, in pflag's words; status 125 and the usage line. */
export function invalidValue(name: string, definition: Definition | undefined, value: string, why: string): UsageError {
  return new UsageError(
    `invalid argument ${JSON.stringify(value)} for "${flagLabel(name, definition)}" flag: ${why}`,
    125,
  );
}
