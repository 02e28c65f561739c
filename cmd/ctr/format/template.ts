/** Runs a parsed template over plain values (what JSON can hold, and functions as methods). */
import { CtrError } from "../../../internal/errors/error.ts";
import { type Expression, type Node, type Pipeline, parseTemplate, type Stage } from "./parse-template.ts";
import { valueFilter } from "./safe.ts";
import { FUNCTIONS, goType, isTrue, NIL_POINTER, show, type TemplateFunction } from "./template-functions.ts";

/** A value of a field that a template may call with arguments: `{{.Label "com.example"}}`. */
export type Method = (...values: readonly unknown[]) => unknown;

export interface TemplateOptions {
  /** What a field is that is not there, or its error; `of` is the object that was asked for it. */
  readonly missing: (parent: string | undefined, name: string, of: object) => unknown;
  /** True if the data has no types of its own: JSON. */
  readonly isUntyped?: boolean;
  /** Functions that replace the usual ones (for a table's header row). */
  readonly functions?: { readonly [name: string]: TemplateFunction };
}

/** Compiles a template; the result renders one value. Throws CtrError for a template that cannot be parsed. */
export function compileTemplate(source: string, options: TemplateOptions): (data: unknown) => string {
  const { nodes, named } = parseTemplate(source);
  return (data) => {
    const run = new Run(source, data, named, options);
    run.list(nodes, data);
    return run.text;
  };
}

/** How deep templates may call each other. */
const MAX_CALLS = 100;

type Leave = "break" | "continue" | undefined;

class Run {
  text = "";
  readonly #source: string;
  readonly #options: TemplateOptions;
  /** Innermost last; `$` is the data the template was started with. */
  #variables: { readonly name: string; value: unknown }[];
  readonly #named: ReadonlyMap<string, readonly Node[]>;
  readonly #safe = valueFilter();
  #calls = 0;

  constructor(source: string, data: unknown, named: ReadonlyMap<string, readonly Node[]>, options: TemplateOptions) {
    this.#source = source;
    this.#named = named;
    this.#options = options;
    this.#variables = [{ name: "$", value: data }];
  }

  list(nodes: readonly Node[], dot: unknown): Leave {
    for (const node of nodes) {
      switch (node.kind) {
        case "text":
          this.text += node.text;
          break;
        case "action": {
          const value = this.#pipeline(node.pipeline, dot);
          if (node.pipeline.variables.length === 0) this.text += this.#safe(show(value));
          break;
        }
        case "if":
        case "with": {
          const leave = this.#scoped(() => {
            const value = this.#pipeline(node.pipeline, dot);
            if (isTrue(value)) return this.list(node.body, node.kind === "with" ? value : dot);
            return this.list(node.otherwise, dot);
          });
          if (leave !== undefined) return leave;
          break;
        }
        case "range": {
          const leave = this.#scoped(() => this.#range(node, dot));
          if (leave !== undefined) return leave;
          break;
        }
        case "template":
          this.#template(node, dot);
          break;
        case "break":
        case "continue":
          return node.kind;
        default:
          node satisfies never;
      }
    }
    return undefined;
  }

  #template(node: Extract<Node, { kind: "template" }>, dot: unknown): void {
    const nodes = this.#named.get(node.name);
    const given = node.pipeline?.stages.map((stage) => stage.text).join(" | ");
    const written = `{{template ${JSON.stringify(node.name)}${given === undefined ? "" : ` ${given}`}}}`;
    if (nodes === undefined) throw this.#error(`template ${JSON.stringify(node.name)} not defined`, node.at, written);
    if (++this.#calls > MAX_CALLS) throw this.#error("exceeded maximum template depth", node.at, written);
    const value = node.pipeline === undefined ? null : this.#value(node.pipeline, dot);
    const outside = this.#variables;
    this.#variables = [{ name: "$", value }];
    this.list(nodes, value);
    this.#variables = outside;
    this.#calls--;
  }

  /** Variables made inside are gone afterwards. */
  #scoped(action: () => Leave): Leave {
    const depth = this.#variables.length;
    try {
      return action();
    } finally {
      this.#variables.length = depth;
    }
  }

  #range(node: Extract<Node, { kind: "range" | "if" | "with" }>, dot: unknown): Leave {
    const value = this.#value(node.pipeline, dot);
    const entries = this.#entries(value, node.pipeline);
    if (entries.length === 0) return this.list(node.otherwise, dot);
    for (const [key, element] of entries) {
      let leave: Leave;
      this.#scoped(() => {
        const { variables } = node.pipeline;
        const [first, second] = variables;
        if (first !== undefined) this.#declare(first, second === undefined ? element : key, node.pipeline.isAssignment);
        if (second !== undefined) this.#declare(second, element, node.pipeline.isAssignment);
        leave = this.list(node.body, element);
        return undefined;
      });
      if (leave === "break") break;
    }
    return undefined;
  }

  #entries(value: unknown, pipeline: Pipeline): readonly (readonly [unknown, unknown])[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((element, index) => [index, element]);
    if (typeof value === "number") return Array.from({ length: value }, (_, index) => [index, index]);
    if (typeof value === "object") {
      // text/template visits the keys of a map in sorted order
      const record = value as { readonly [key: string]: unknown };
      return Object.keys(record)
        .sort()
        .map((key) => [key, record[key]]);
    }
    const [first] = pipeline.stages;
    throw this.#error(`range can't iterate over ${show(value)}`, first?.at ?? 0, first?.text ?? "range");
  }

  #pipeline(pipeline: Pipeline, dot: unknown): unknown {
    const value = this.#value(pipeline, dot);
    const [name] = pipeline.variables;
    if (name !== undefined) this.#declare(name, value, pipeline.isAssignment);
    return value;
  }

  #value(pipeline: Pipeline, dot: unknown): unknown {
    let piped: readonly [unknown] | readonly [] = [];
    for (const stage of pipeline.stages) piped = [this.#stage(stage, dot, piped)];
    return piped[0];
  }

  #declare(name: string, value: unknown, isAssignment: boolean): void {
    const known = isAssignment ? this.#variables.findLast((variable) => variable.name === name) : undefined;
    if (known !== undefined) known.value = value;
    else if (isAssignment) throw this.#error(`undefined variable "${name}"`, 0, name);
    else this.#variables.push({ name, value });
  }

  /** A function with its arguments (the piped value last), or a value that takes none. */
  #stage(stage: Stage, dot: unknown, piped: readonly unknown[]): unknown {
    const [first, ...rest] = stage.words;
    if (first === undefined) return undefined;
    if (first.kind === "function") return this.#call(first, rest, dot, piped, stage.text);
    const isCallable = first.kind === "field" || first.kind === "variable";
    const value = this.#operand(first, dot);
    if (typeof value === "function" && isCallable) {
      return (value as Method)(...rest.map((word) => this.#argument(word, dot)), ...piped);
    }
    if (rest.length > 0 || piped.length > 0) {
      throw this.#error("can't give argument to non-function", "at" in first ? first.at : 0, this.#written(first));
    }
    return value;
  }

  #call(
    callee: Expression & { kind: "function" },
    words: readonly Expression[],
    dot: unknown,
    piped: readonly unknown[],
    text = callee.name,
  ): unknown {
    // and(), or(): the arguments after the deciding one are not evaluated
    if (callee.name === "and" || callee.name === "or") {
      let value: unknown;
      for (const evaluate of [
        ...words.map((word) => () => this.#argument(word, dot)),
        ...piped.map((given) => () => given),
      ]) {
        value = evaluate();
        if (isTrue(value) === (callee.name === "or")) break;
      }
      return value;
    }
    const own = this.#options.functions;
    const table = own !== undefined && Object.hasOwn(own, callee.name) ? own : FUNCTIONS;
    const action = Object.hasOwn(table, callee.name) ? table[callee.name] : undefined;
    if (action === undefined) {
      throw new CtrError("invalid", `template parsing error: template: :1: function "${callee.name}" not defined`);
    }
    const values = [...words.map((word) => this.#argument(word, dot)), ...piped];
    if (values.length < action.least || values.length > action.most) {
      const wanted = action.least === action.most ? `${action.least}` : `at least ${action.least}`;
      throw this.#error(
        `wrong number of args for ${callee.name}: want ${wanted} got ${values.length}`,
        callee.at,
        callee.name,
      );
    }
    try {
      return action.call(values);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw this.#error(`error calling ${callee.name}: ${error.message}`, callee.at, text);
    }
  }

  #argument(word: Expression, dot: unknown): unknown {
    if (word.kind === "function") return this.#call(word, [], dot, []);
    const value = this.#operand(word, dot);
    return typeof value === "function" ? (value as Method)() : value;
  }

  #operand(word: Expression, dot: unknown): unknown {
    switch (word.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "literal":
        return word.value;
      case "field":
        return this.#fields(dot, word.names, word);
      case "variable": {
        const variable = this.#variables.findLast((candidate) => candidate.name === word.name);
        if (variable === undefined) throw this.#error(`undefined variable "${word.name}"`, word.at, word.name);
        return this.#fields(variable.value, word.names, word);
      }
      case "pipeline":
        return this.#fields(this.#value(word.pipeline, dot), word.names, word);
      case "function":
        return this.#call(word, [], dot, []);
      default:
        return word satisfies never;
    }
  }

  #fields(from: unknown, names: readonly string[], word: Expression & { at: number }): unknown {
    let value = from;
    let parent: string | undefined;
    for (const name of names) {
      if (typeof value === "function") value = (value as Method)();
      if (value === NIL_POINTER) {
        throw this.#error(`nil pointer evaluating interface {}.${name}`, word.at, this.#written(word));
      }
      if (value === undefined || value === null) {
        throw this.#error(`nil data; no entry for key "${name}"`, word.at, this.#written(word));
      }
      if (typeof value !== "object" || Array.isArray(value)) {
        throw this.#error(
          `can't evaluate field ${name} in type ${this.#options.isUntyped === true ? "interface {}" : goType(value)}`,
          word.at,
          this.#written(word),
        );
      }
      if (Object.hasOwn(value, name)) value = (value as { readonly [key: string]: unknown })[name];
      else {
        const missing = this.#options.missing(parent, name, value);
        if (missing instanceof MissingField) throw this.#error(missing.words, word.at, this.#written(word));
        value = missing;
      }
      parent = name;
    }
    return value;
  }

  #written(word: Expression): string {
    if (word.kind === "field") return `.${word.names.join(".")}`;
    if (word.kind === "variable") return [word.name, ...word.names].join(".");
    return word.kind === "function" ? word.name : "…";
  }

  #error(message: string, at: number, what: string): CtrError {
    const before = this.#source.slice(0, at).split("\n");
    const place = `${before.length}:${(before.at(-1) ?? "").length}`;
    return new CtrError("invalid", `template: :${place}: executing "" at <${what}>: ${message}`);
  }
}

/** What `TemplateOptions.missing` returns when a missing field is an error, with text/template's words for it. */
export class MissingField {
  readonly words: string;

  constructor(words: string) {
    this.words = words;
  }
}
