/** The words of a Dockerfile line: quotes, backslashes and `$variable` (Dockerfile reference "Environment replacement"). */
import { CtrError } from "../errors/error.ts";

/** Looks a variable up; undefined is unset. */
export type Lookup = (name: string) => string | undefined;

/** Splits at blanks that no quote holds and no backslash escapes; the words keep their quotes. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at);
    if (quote === "" && /\s/.test(character)) {
      if (word !== "") words.push(word);
      word = "";
      continue;
    }
    word += character;
    if (character === "\\" && quote !== "'") {
      at++;
      word += line.charAt(at);
    } else if (quote === "" && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = "";
  }
  if (word !== "") words.push(word);
  return words;
}

/** One word with its quotes taken off and its variables put in. */
export function expandWord(word: string, lookup: Lookup): string {
  let result = "";
  let quote = "";
  for (let at = 0; at < word.length; ) {
    const character = word.charAt(at);
    if (quote !== "'" && character === "$") {
      const variable = expandVariable(word, at, lookup);
      result += variable.text;
      at = variable.end;
      continue;
    }
    at++;
    if (character === quote) quote = "";
    else if (quote === "" && (character === '"' || character === "'")) quote = character;
    else if (character === "\\" && quote !== "'") {
      const next = word.charAt(at);
      at++;
      // Inside double quotes a backslash is only special before these (sh(1)).
      result += quote === '"' && !/["$\\]/.test(next) ? `\\${next}` : next;
    } else result += character;
  }
  if (quote !== "")
    throw new CtrError(
      "invalid",
      `unexpected end of statement while looking for matching ${quote === '"' ? "double-quote" : "single-quote"}`,
    );
  return result;
}

/** `$name`, `${name}`, `${name:-word}`, `${name-word}`, `${name:+word}`, `${name+word}` at `at`. */
function expandVariable(word: string, at: number, lookup: Lookup): { readonly text: string; readonly end: number } {
  const plain = /^\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])/.exec(word.slice(at));
  if (plain !== null) return { text: lookup(plain[1] ?? "") ?? "", end: at + plain[0].length };
  if (word.charAt(at + 1) !== "{") return { text: "$", end: at + 1 };
  const end = closingBrace(word, at + 1);
  const parts = /^([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])(?:(:?[-+?])(.*))?$/s.exec(word.slice(at + 2, end));
  if (parts === null)
    throw new CtrError("invalid", `unsupported modifier in ${JSON.stringify(word.slice(at, end + 1))}`);
  const [, name = "", operator = "", alternative = ""] = parts;
  const value = lookup(name);
  const isSet = value !== undefined && (!operator.startsWith(":") || value !== "");
  return { text: applyOperator(name, value, isSet, operator.at(-1), alternative, lookup), end: end + 1 };
}

function applyOperator(
  name: string,
  value: string | undefined,
  isSet: boolean,
  operator: string | undefined,
  alternative: string,
  lookup: Lookup,
): string {
  switch (operator) {
    case "-":
      return isSet ? (value ?? "") : expandWord(alternative, lookup);
    case "+":
      return isSet ? expandWord(alternative, lookup) : "";
    case "?":
      if (!isSet)
        throw new CtrError("invalid", `${name}: ${alternative === "" ? "is not allowed to be unset" : alternative}`);
      return value ?? "";
    default:
      return value ?? "";
  }
}

function closingBrace(word: string, open: number): number {
  let depth = 0;
  for (let at = open; at < word.length; at++) {
    const character = word.charAt(at);
    if (character === "\\") at++;
    else if (character === "{") depth++;
    else if (character === "}" && --depth === 0) return at;
  }
  throw new CtrError("invalid", "syntax error: missing '}'");
}
