/** Go's text/template, as Docker's `--format` has it, as a tree: text/template, "Actions" and "Pipelines". */
import type { CtrError } from "../../../internal/errors/error.ts";
import { fault, lex, type Token } from "./lex-template.ts";

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
