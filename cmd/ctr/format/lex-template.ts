/** The tokens of a template of Go's: text/template, "Actions". */
import { CtrError } from "../../../internal/errors/error.ts";

export type Token =
  | { readonly kind: "text"; readonly text: string; readonly at: number }
  | {
      readonly kind: "open" | "close" | "space" | "pipe" | "left" | "right" | "comma" | "declare" | "assign" | "dot";
      readonly at: number;
    }
  | { readonly kind: "field" | "variable" | "word"; readonly name: string; readonly at: number }
  | { readonly kind: "literal"; readonly value: string | number | boolean; readonly at: number };

/** The error of a template, in text/template's words. */
export function fault(source: string, at: number, message: string): CtrError {
  const line = source.slice(0, at).split("\n").length;
  return new CtrError("invalid", `template parsing error: template: :${line}: ${message}`);
}

/** Splits into text and the tokens inside `{{ }}`, with trim markers and comments taken out. */
export function lex(source: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let isTrimmed = false;
  while (at < source.length) {
    const open = source.indexOf("{{", at);
    let text = source.slice(at, open < 0 ? undefined : open);
    if (isTrimmed) text = text.replace(/^[ \t\r\n]+/, "");
    const trimsLeft = open >= 0 && /^-[ \t\r\n]/.test(source.slice(open + 2, open + 4));
    if (trimsLeft) text = text.replace(/[ \t\r\n]+$/, "");
    if (text !== "") tokens.push({ kind: "text", text, at });
    if (open < 0) return tokens;
    at = open + 2 + (trimsLeft ? 2 : 0);
    if (source.startsWith("/*", at)) {
      const end = source.indexOf("*/", at);
      const rest = end < 0 ? "" : source.slice(end + 2);
      const close = /^(?:[ \t\r\n]+(-))?\}\}/.exec(rest);
      if (close === null)
        throw fault(source, at, end < 0 ? "unclosed comment" : "comment ends before closing delimiter");
      isTrimmed = close[1] !== undefined;
      at = end + 2 + close[0].length;
      continue;
    }
    tokens.push({ kind: "open", at: open });
    const inside = lexAction(source, at, tokens);
    at = inside.at;
    isTrimmed = inside.isTrimmed;
  }
  return tokens;
}

const WORD = /[\p{L}_][\p{L}\p{N}_]*/uy;
const NUMBER = /[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;

function match(pattern: RegExp, source: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
}

function lexAction(
  source: string,
  from: number,
  tokens: Token[],
): { readonly at: number; readonly isTrimmed: boolean } {
  let at = from;
  let depth = 0;
  for (;;) {
    const character = source[at];
    if (character === undefined) throw fault(source, from, "unclosed action");
    if (source.startsWith("}}", at) || /^[ \t\r\n]-\}\}/.test(source.slice(at, at + 4))) {
      if (depth > 0) throw fault(source, at, "unclosed left paren");
      tokens.push({ kind: "close", at });
      const isTrimmed = character !== "}";
      return { at: at + (isTrimmed ? 4 : 2), isTrimmed };
    }
    if (/\s/.test(character)) {
      tokens.push({ kind: "space", at });
      while (/\s/.test(source[at] ?? "") && !/^[ \t\r\n]-\}\}/.test(source.slice(at, at + 4))) at++;
      continue;
    }
    const start = at;
    if (character === "|") tokens.push({ kind: "pipe", at: at++ });
    else if (character === ",") tokens.push({ kind: "comma", at: at++ });
    else if (character === "(") {
      depth++;
      tokens.push({ kind: "left", at: at++ });
    } else if (character === ")") {
      if (--depth < 0) throw fault(source, at, "unexpected right paren");
      tokens.push({ kind: "right", at: at++ });
    } else if (source.startsWith(":=", at)) {
      tokens.push({ kind: "declare", at });
      at += 2;
    } else if (character === "=") tokens.push({ kind: "assign", at: at++ });
    else if (character === '"' || character === "`" || character === "'") {
      const { value, end } = lexQuoted(source, at);
      tokens.push({ kind: "literal", value, at });
      at = end;
    } else if (character === ".") {
      const name = match(WORD, source, at + 1);
      if (name === undefined) tokens.push({ kind: "dot", at: at++ });
      else {
        tokens.push({ kind: "field", name, at });
        at += 1 + name.length;
      }
    } else if (character === "$") {
      const name = match(WORD, source, at + 1) ?? "";
      tokens.push({ kind: "variable", name: `$${name}`, at });
      at += 1 + name.length;
    } else {
      const number = match(NUMBER, source, at);
      const word = number === undefined ? match(WORD, source, at) : undefined;
      if (number !== undefined) tokens.push({ kind: "literal", value: Number(number), at });
      else if (word === "true" || word === "false") tokens.push({ kind: "literal", value: word === "true", at });
      else if (word !== undefined) tokens.push({ kind: "word", name: word, at });
      else throw fault(source, start, `unexpected ${JSON.stringify(character)} in command`);
      at += (number ?? word ?? "").length;
    }
  }
}

/** A string, a raw string or a character constant (a number, as in Go). */
function lexQuoted(source: string, at: number): { readonly value: string | number; readonly end: number } {
  const quote = source[at] ?? "";
  if (quote === "`") {
    const end = source.indexOf("`", at + 1);
    if (end < 0) throw fault(source, at, "unterminated raw quoted string");
    return { value: source.slice(at + 1, end), end: end + 1 };
  }
  let text = "";
  for (let next = at + 1; ; next++) {
    const character = source[next];
    if (character === undefined || character === "\n")
      throw fault(source, at, quote === '"' ? "unterminated quoted string" : "unterminated character constant");
    if (character === quote) {
      return { value: quote === '"' ? text : (text.codePointAt(0) ?? 0), end: next + 1 };
    }
    if (character !== "\\") {
      text += character;
      continue;
    }
    const escaped = source[++next] ?? "";
    const width = { x: 2, u: 4, U: 8 }[escaped];
    if (width !== undefined) {
      const digits = source.slice(next + 1, next + 1 + width);
      if (!/^[0-9a-fA-F]+$/.test(digits) || digits.length !== width || Number.parseInt(digits, 16) > 0x10ffff)
        throw fault(source, next, "invalid syntax");
      text += String.fromCodePoint(Number.parseInt(digits, 16));
      next += width;
      continue;
    }
    const plain = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\", '"': '"', "'": "'" }[
      escaped
    ];
    if (plain === undefined) throw fault(source, next, "invalid syntax");
    text += plain;
  }
}
