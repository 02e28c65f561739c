/** Go's text/template, as Docker's `--format` has it, as a tree: text/template, "Actions" and "Pipelines". */
import { CtrError } from "../../../internal/errors/error.ts";

/** What one operand of a command is. `at` is its place in the source, for messages. */
export type Expression =
  | { readonly kind: "dot" }
  | { readonly kind: "nil" }
  | { readonly kind: "literal"; readonly value: string | number | boolean }
  | { readonly kind: "field"; readonly names: readonly string[]; readonly at: number }
  | { readonly kind: "variable"; readonly name: string; readonly names: readonly string[]; readonly at: number }
  | { readonly kind: "function"; readonly name: string; readonly at: number }
  | { readonly kind: "pipeline"; readonly pipeline: Pipeline; readonly names: readonly string[]; readonly at: number };

/** One stage: a function with its arguments, or a single value. */
export interface Stage {
  readonly words: readonly Expression[];
  /** As it is written, and where, for messages. */
  readonly text: string;
  readonly at: number;
}

export interface Pipeline {
  /** `$x := …`, `$i, $e := …`, `$x = …`. */
  readonly variables: readonly string[];
  readonly isAssignment: boolean;
  readonly stages: readonly Stage[];
}

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly pipeline: Pipeline }
  | {
      readonly kind: "if" | "range" | "with";
      readonly pipeline: Pipeline;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | { readonly kind: "template"; readonly name: string; readonly pipeline: Pipeline | undefined; readonly at: number }
  | { readonly kind: "break" }
  | { readonly kind: "continue" };

export interface Template {
  readonly nodes: readonly Node[];
  /** What `{{define "name"}}` and `{{block "name"}}` made. */
  readonly named: ReadonlyMap<string, readonly Node[]>;
}

/** What a pipeline must not exceed: a format is typed by a person. */
const MAX_DEPTH = 64;

/** The tree of a template. Throws CtrError with text/template's words. */
export function parseTemplate(source: string): Template {
  const parser = new Parser(source, lex(source));
  const { nodes, closedBy } = parser.list(0);
  if (closedBy !== "eof") throw parser.error(`unexpected {{${closedBy}}}`);
  return { nodes, named: parser.named };
}

type Token =
  | { readonly kind: "text"; readonly text: string; readonly at: number }
  | {
      readonly kind: "open" | "close" | "space" | "pipe" | "left" | "right" | "comma" | "declare" | "assign" | "dot";
      readonly at: number;
    }
  | { readonly kind: "field" | "variable" | "word"; readonly name: string; readonly at: number }
  | { readonly kind: "literal"; readonly value: string | number | boolean; readonly at: number };

function fault(source: string, at: number, message: string): CtrError {
  const line = source.slice(0, at).split("\n").length;
  return new CtrError("invalid", `template parsing error: template: :${line}: ${message}`);
}

/** Splits into text and the tokens inside `{{ }}`, with trim markers and comments taken out. */
function lex(source: string): readonly Token[] {
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

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  readonly named = new Map<string, readonly Node[]>();
  #next = 0;
  #rangeDepth = 0;
  /** Those that are declared where the parser stands. */
  #variables: string[] = ["$"];

  constructor(source: string, tokens: readonly Token[]) {
    this.#source = source;
    this.#tokens = tokens;
  }

  error(message: string, at = this.#tokens[this.#next]?.at ?? this.#source.length): CtrError {
    return fault(this.#source, at, message);
  }

  /** Nodes up to the `{{end}}` or `{{else …}}` that closes them; after `else` the parser stands behind the word. */
  list(depth: number): { readonly nodes: readonly Node[]; readonly closedBy: "eof" | "end" | "else" } {
    if (depth > MAX_DEPTH) throw this.error("nested too deeply");
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#tokens[this.#next++];
      if (token === undefined) return { nodes, closedBy: "eof" };
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.text });
        continue;
      }
      this.#skipSpace();
      const word = this.#tokens[this.#next];
      const name = word?.kind === "word" ? word.name : "";
      switch (name) {
        case "end":
          this.#next++;
          this.#close("end");
          return { nodes, closedBy: "end" };
        case "else":
          this.#next++;
          return { nodes, closedBy: "else" };
        case "if":
        case "range":
        case "with":
          this.#next++;
          nodes.push(this.#branch(name, depth));
          break;
        case "break":
        case "continue":
          this.#next++;
          if (this.#rangeDepth === 0) throw this.error(`{{${name}}} outside {{range}}`);
          this.#close(name);
          nodes.push({ kind: name });
          break;
        case "define":
          this.#next++;
          if (depth > 0) throw this.error("unexpected {{define}}");
          this.#define(this.#templateName("define"), depth, () => this.#close("define clause"));
          break;
        case "template":
          this.#next++;
          nodes.push(this.#template(this.#templateName("template"), depth));
          break;
        case "block": {
          this.#next++;
          const block = this.#templateName("block");
          const called = this.#template(block, depth);
          nodes.push(called);
          this.#define(block, depth, () => {});
          break;
        }
        default:
          nodes.push({ kind: "action", pipeline: this.#pipeline("close", depth) });
      }
    }
  }

  #templateName(what: string): string {
    this.#skipSpace();
    const token = this.#tokens[this.#next++];
    if (token?.kind !== "literal" || typeof token.value !== "string")
      throw this.error(`unexpected ${token === undefined ? "EOF" : `<${describe(token)}>`} in ${what} clause`);
    return token.value;
  }

  /** What is between here and the `{{end}}`, under a name of its own; it sees no variable but `$`. */
  #define(name: string, depth: number, open: () => void): void {
    open();
    const outside = this.#variables;
    this.#variables = ["$"];
    const { nodes, closedBy } = this.list(depth + 1);
    this.#variables = outside;
    if (closedBy !== "end") throw this.error(closedBy === "eof" ? "unexpected EOF" : "unexpected {{else}}");
    this.named.set(name, nodes);
  }

  /** `{{template "name"}}`, `{{template "name" pipeline}}`; also the call that a block is. */
  #template(name: string, depth: number): Node {
    const at = this.#tokens[this.#next - 1]?.at ?? 0;
    this.#skipSpace();
    if (this.#tokens[this.#next]?.kind === "close") {
      this.#next++;
      return { kind: "template", name, pipeline: undefined, at };
    }
    return { kind: "template", name, pipeline: this.#pipeline("close", depth), at };
  }

  #branch(kind: "if" | "range" | "with", depth: number): Node {
    const outside = this.#variables.length;
    const branch = this.#scopedBranch(kind, depth);
    this.#variables.length = outside;
    return branch;
  }

  #scopedBranch(kind: "if" | "range" | "with", depth: number): Node {
    const pipeline = this.#pipeline("close", depth, kind === "range");
    if (kind === "range") this.#rangeDepth++;
    const { nodes: body, closedBy } = this.list(depth + 1);
    if (kind === "range") this.#rangeDepth--;
    if (closedBy === "eof") throw this.error("unexpected EOF");
    if (closedBy === "end") return { kind, pipeline, body, otherwise: [] };
    this.#skipSpace();
    const word = this.#tokens[this.#next];
    // `{{else if …}}` and `{{else with …}}` share the end of the first
    if (word?.kind === "word" && (word.name === "if" || word.name === "with")) {
      this.#next++;
      return { kind, pipeline, body, otherwise: [this.#branch(word.name, depth + 1)] };
    }
    this.#close("else");
    const rest = this.list(depth + 1);
    if (rest.closedBy !== "end")
      throw this.error(rest.closedBy === "eof" ? "unexpected EOF" : "expected end; found {{else}}");
    return { kind, pipeline, body, otherwise: rest.nodes };
  }

  #close(what: string): void {
    this.#skipSpace();
    const token = this.#tokens[this.#next++];
    if (token?.kind !== "close")
      throw this.error(`unexpected ${token === undefined ? "EOF" : `<${describe(token)}>`} in ${what}`);
  }

  #skipSpace(): boolean {
    const before = this.#next;
    while (this.#tokens[this.#next]?.kind === "space") this.#next++;
    return this.#next > before;
  }

  #pipeline(closing: "close" | "right", depth: number, isRange = false): Pipeline {
    if (depth > MAX_DEPTH) throw this.error("nested too deeply");
    const { variables, isAssignment } = this.#declaration(isRange);
    const stages: Stage[] = [];
    for (;;) {
      this.#skipSpace();
      const at = this.#tokens[this.#next]?.at ?? this.#source.length;
      const words = this.#words(depth);
      const token = this.#tokens[this.#next++];
      const isEnd = token?.kind === closing;
      // A pipe with nothing behind it is no error to text/template.
      if (words.length === 0 && !(isEnd && stages.length > 0)) {
        const missing = stages.length === 0 && (isEnd || token?.kind === "pipe");
        if (missing) throw this.error("missing value for command");
        throw this.error(`unexpected ${token === undefined ? "EOF" : `<${describe(token)}>`} in command`);
      }
      if (words.length > 0) stages.push({ words, text: this.#source.slice(at, token?.at).trim(), at });
      if (isEnd) {
        this.#declare(variables, isAssignment);
        return { variables, isAssignment, stages };
      }
      if (token?.kind !== "pipe")
        throw this.error(`unexpected ${token === undefined ? "EOF" : `<${describe(token)}>`} in command`);
    }
  }

  #declare(variables: readonly string[], isAssignment: boolean): void {
    if (!isAssignment) this.#variables.push(...variables);
    else for (const name of variables) this.#known(name);
  }

  #known(name: string): void {
    if (!this.#variables.includes(name)) throw this.error(`undefined variable ${JSON.stringify(name)}`);
  }

  #declaration(isRange: boolean): { readonly variables: readonly string[]; readonly isAssignment: boolean } {
    const start = this.#next;
    const variables: string[] = [];
    for (;;) {
      this.#skipSpace();
      const token = this.#tokens[this.#next];
      if (token?.kind !== "variable") break;
      this.#next++;
      variables.push(token.name);
      this.#skipSpace();
      const after = this.#tokens[this.#next];
      if (after?.kind === "declare" || after?.kind === "assign") {
        this.#next++;
        if (variables.length > (isRange ? 2 : 1)) throw this.error("too many declarations");
        return { variables, isAssignment: after.kind === "assign" };
      }
      if (after?.kind !== "comma" || !isRange) break;
      this.#next++;
    }
    this.#next = start;
    return { variables: [], isAssignment: false };
  }

  #words(depth: number): readonly Expression[] {
    const words: Expression[] = [];
    for (;;) {
      this.#skipSpace();
      const word = this.#operand(depth);
      if (word === undefined) return words;
      words.push(word);
    }
  }

  #operand(depth: number): Expression | undefined {
    const token = this.#tokens[this.#next];
    switch (token?.kind) {
      case "dot":
        this.#next++;
        return { kind: "dot" };
      case "literal":
        this.#next++;
        return { kind: "literal", value: token.value };
      case "word":
        this.#next++;
        return token.name === "nil" ? { kind: "nil" } : { kind: "function", name: token.name, at: token.at };
      case "field": {
        // text/template places a chain at its second link.
        const at = this.#tokens[this.#next + 1]?.kind === "field" ? this.#tokens[this.#next + 1]?.at : token.at;
        return { kind: "field", names: this.#fieldChain(), at: at ?? token.at };
      }
      case "variable": {
        this.#next++;
        this.#known(token.name);
        const next = this.#tokens[this.#next];
        return {
          kind: "variable",
          name: token.name,
          names: this.#fieldChain(),
          at: next?.kind === "field" ? next.at : token.at,
        };
      }
      case "left": {
        this.#next++;
        const pipeline = this.#pipeline("right", depth + 1);
        return { kind: "pipeline", pipeline, names: this.#fieldChain(), at: token.at };
      }
      default:
        return undefined;
    }
  }

  #fieldChain(): readonly string[] {
    const names: string[] = [];
    for (let token = this.#tokens[this.#next]; token?.kind === "field"; token = this.#tokens[this.#next]) {
      names.push(token.name);
      this.#next++;
    }
    return names;
  }
}

function describe(token: Token): string {
  if ("name" in token) return token.name;
  if ("value" in token) return String(token.value);
  return token.kind;
}
