/** The functions of a template: text/template's own and Docker's (`json join split title upper lower pad truncate`). */
import { withEscapes } from "./safe.ts";

/** A function: how many values it takes, and what it does. A RangeError it throws becomes the template's error. */
export interface TemplateFunction {
  readonly least: number;
  readonly most: number;
  readonly call: (values: readonly unknown[]) => unknown;
}

/** A JSON null where Docker has a nil list: printed as `[]`, `null` as JSON. */
export const NIL_LIST: readonly never[] = Object.freeze([]);
/** A JSON null where Docker has a nil map: printed as `map[]`. */
export const NIL_MAP: { readonly [key: string]: never } = Object.freeze({});
/** A JSON null where Docker has a nil pointer: printed as `<nil>`. */
export const NIL_POINTER: unique symbol = Symbol("nil");

/** A JSON `{}` where Docker has an empty struct, the value of a set: printed as `{}`. */
export const EMPTY_STRUCT: { readonly [key: string]: never } = Object.freeze({});

/** What Go calls the type of a value. */
export function goType(value: unknown): string {
  if (Array.isArray(value)) return "[]string";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (typeof value === "boolean") return "bool";
  return typeof value === "object" && value !== null ? "map[string]interface {}" : "string";
}

/** A value as text/template prints it. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return "<no value>";
  if (typeof value === "function") return show(value());
  return showInside(value);
}

function showInside(value: unknown): string {
  if (value === NIL_POINTER || value === undefined || value === null) return "<nil>";
  if (value === EMPTY_STRUCT) return "{}";
  if (Array.isArray(value)) return `[${value.map(showInside).join(" ")}]`;
  if (typeof value === "function") return showInside(value());
  if (typeof value !== "object") return String(value);
  const record = value as { readonly [key: string]: unknown };
  const keys = Object.keys(record).sort();
  return `map[${keys.map((key) => `${key}:${showInside(record[key])}`).join(" ")}]`;
}

/** text/template's truth: false for 0, "", empty lists and maps, nil. */
export function isTrue(value: unknown): boolean {
  if (typeof value === "function") return isTrue(value());
  if (value === NIL_POINTER || value === null || value === undefined) return false;
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object") return Object.keys(value).length > 0;
  return value !== "" && value !== 0 && value !== false;
}

/** A method of objects that know their own JSON: the row of a list, for `{{json .}}`. */
export const JSON_TEXT: unique symbol = Symbol("json");

/** A value as JSON on one line, keys in the object's order. */
export function json(value: unknown): string {
  if (typeof value === "object" && value !== null && JSON_TEXT in value) {
    const text: unknown = value[JSON_TEXT];
    if (typeof text === "function") return String(text());
  }
  const text = JSON.stringify(value, (_, inner: unknown) =>
    inner === NIL_LIST || inner === NIL_MAP || inner === NIL_POINTER ? null : inner,
  );
  return withEscapes(text ?? "null");
}

function text(value: unknown): string {
  return typeof value === "string" ? value : show(value);
}

function integer(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isInteger(value))
    throw new RangeError(`expected integer for ${what}; found ${show(value)}`);
  return value;
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return new TextEncoder().encode(value).length;
  if (Array.isArray(value)) return value.length;
  if (typeof value === "object" && value !== null) return Object.keys(value).length;
  throw new RangeError(`len of type ${typeof value}`);
}

/** index(2 or more values): each further value goes one level deeper. A missing key of a map is empty, not an error. */
function index([collection, ...keys]: readonly unknown[]): unknown {
  let value = collection;
  for (const key of keys) {
    if (value === null || value === undefined || value === NIL_POINTER) throw new RangeError("index of nil pointer");
    if (Array.isArray(value) || typeof value === "string") {
      const at = integer(key, "index");
      if (at < 0 || at >= value.length) throw new RangeError(`index out of range: ${at}`);
      value = typeof value === "string" ? new TextEncoder().encode(value)[at] : value[at];
    } else if (typeof value === "object") {
      if (typeof key !== "string") throw new RangeError(`value has type ${typeof key}; should be string`);
      value = Object.hasOwn(value, key) ? (value as { readonly [name: string]: unknown })[key] : "";
    } else throw new RangeError(`can't index item of type ${typeof value}`);
  }
  return value;
}

function slice([value, from, to]: readonly unknown[]): unknown {
  if (typeof value !== "string" && !Array.isArray(value))
    throw new RangeError(`can't slice item of type ${typeof value}`);
  const start = from === undefined ? 0 : integer(from, "index");
  const end = to === undefined ? value.length : integer(to, "index");
  if (start < 0 || end > value.length || start > end)
    throw new RangeError(`index out of range: ${start < 0 || start > value.length ? start : end}`);
  return value.slice(start, end);
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  throw new RangeError("incompatible types for comparison");
}

function isEqual(a: unknown, b: unknown): boolean {
  const [left, right] = [nullish(a), nullish(b)];
  if (left !== null && right !== null && typeof left !== typeof right)
    throw new RangeError("incompatible types for comparison");
  if (typeof left === "object" && left !== null) throw new RangeError("non-comparable type");
  return left === right;
}

function nullish(value: unknown): unknown {
  return value === undefined || value === NIL_POINTER ? null : value;
}

/** fmt.Sprintf for the verbs a person uses: %s %v %d %q %t %f %e %g %x %X %o %b %c %%, with flags, width, precision. */
function sprintf(values: readonly unknown[]): string {
  const [format, ...rest] = values;
  let next = 0;
  const output = text(format).replace(
    /%([-+# 0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g,
    (_, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      if (next >= rest.length) return `%!${verb}(MISSING)`;
      const shown = formatVerb(rest[next++], flags, precision === undefined ? undefined : Number(precision), verb);
      const missing = Number(width ?? 0) - [...shown].length;
      if (missing <= 0) return shown;
      if (flags.includes("-")) return shown + " ".repeat(missing);
      if (flags.includes("0") && "dfegxXob".includes(verb)) {
        return shown.startsWith("-") ? `-${"0".repeat(missing)}${shown.slice(1)}` : "0".repeat(missing) + shown;
      }
      return " ".repeat(missing) + shown;
    },
  );
  if (next >= rest.length) return output;
  return `${output}%!(EXTRA ${rest
    .slice(next)
    .map((value) => `${goType(value)}=${showInside(value)}`)
    .join(", ")})`;
}

function formatVerb(value: unknown, flags: string, precision: number | undefined, verb: string): string {
  const wrong = () => `%!${verb}(${goType(value)}=${showInside(value)})`;
  const signed = (shown: string) => (flags.includes("+") && !shown.startsWith("-") ? `+${shown}` : shown);
  switch (verb) {
    case "v":
      return show(value);
    case "s":
      if (typeof value === "number" || typeof value === "boolean") return wrong();
      return precision === undefined ? show(value) : [...show(value)].slice(0, precision).join("");
    case "q":
      return typeof value === "string" ? JSON.stringify(value) : wrong();
    case "t":
      return typeof value === "boolean" ? String(value) : wrong();
    case "d":
      return typeof value === "number" && Number.isInteger(value) ? signed(String(value)) : wrong();
    case "f":
      return typeof value === "number" ? signed(value.toFixed(precision ?? 6)) : wrong();
    case "e":
      return typeof value === "number"
        ? signed(value.toExponential(precision ?? 6).replace(/e([+-])(\d)$/, "e$10$2"))
        : wrong();
    case "g":
      return typeof value === "number"
        ? signed(precision === undefined ? String(value) : String(Number(value.toPrecision(precision))))
        : wrong();
    case "x":
    case "X": {
      const digits =
        typeof value === "string"
          ? new TextEncoder().encode(value).toHex()
          : typeof value === "number"
            ? value.toString(16)
            : wrong();
      return verb === "X" ? digits.toUpperCase() : digits;
    }
    case "o":
    case "b":
      return typeof value === "number" ? value.toString(verb === "o" ? 8 : 2) : wrong();
    case "c":
      return typeof value === "number" ? String.fromCodePoint(value) : wrong();
    default:
      return wrong();
  }
}

/** fmt.Sprint: blanks only between operands that are both no strings. */
function sprint(values: readonly unknown[]): string {
  let output = "";
  for (const [at, value] of values.entries()) {
    if (at > 0 && typeof value !== "string" && typeof values[at - 1] !== "string") output += " ";
    output += showInside(value);
  }
  return output;
}

/** template.HTMLEscape */
function escapeHtml(value: string): string {
  const names: { readonly [character: string]: string } = { "<": "lt", ">": "gt", "&": "amp", '"': "#34", "'": "#39" };
  return value.replace(/[<>&"']/g, (character) => `&${names[character] ?? ""};`).replaceAll("\0", "\ufffd");
}

/** template.JSEscape */
function escapeJs(value: string): string {
  return value
    .replace(/[\\'"]/g, "\\$&")
    .replace(
      /[<>&=\x00-\x1f]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`,
    );
}

const ANY = Number.POSITIVE_INFINITY;
const of = (least: number, most: number, call: TemplateFunction["call"]): TemplateFunction => ({ least, most, call });

/** `and` and `or` are not here: they do not evaluate all of their arguments. */
export const FUNCTIONS: { readonly [name: string]: TemplateFunction } = {
  not: of(1, 1, ([value]) => !isTrue(value)),
  eq: of(2, ANY, ([first, ...rest]) => rest.some((value) => isEqual(first, value))),
  ne: of(2, 2, ([a, b]) => !isEqual(a, b)),
  lt: of(2, 2, ([a, b]) => compare(a, b) < 0),
  le: of(2, 2, ([a, b]) => compare(a, b) <= 0),
  gt: of(2, 2, ([a, b]) => compare(a, b) > 0),
  ge: of(2, 2, ([a, b]) => compare(a, b) >= 0),
  index: of(1, ANY, index),
  slice: of(1, 3, slice),
  len: of(1, 1, ([value]) => lengthOf(value)),
  print: of(0, ANY, sprint),
  printf: of(1, ANY, sprintf),
  println: of(0, ANY, (values) => `${values.map(showInside).join(" ")}\n`),
  html: of(1, ANY, (values) => escapeHtml(sprint(values))),
  js: of(1, ANY, (values) => escapeJs(sprint(values))),
  urlquery: of(1, ANY, (values) => new URLSearchParams({ "": sprint(values) }).toString().slice(1)),
  json: of(1, 1, ([value]) => json(value)),
  join: of(2, 2, ([list, separator]) => {
    if (!Array.isArray(list)) throw new RangeError("expected a list");
    return list.map(text).join(text(separator));
  }),
  split: of(2, 2, ([value, separator]) => text(value).split(text(separator))),
  title: of(1, 1, ([value]) =>
    text(value).replace(
      /(^|[^\p{L}\p{N}_'])(\p{L})/gu,
      (_, before: string, letter: string) => before + letter.toUpperCase(),
    ),
  ),
  upper: of(1, 1, ([value]) => text(value).toUpperCase()),
  lower: of(1, 1, ([value]) => text(value).toLowerCase()),
  pad: of(3, 3, ([value, before, after]) => {
    if (text(value) === "") return "";
    return " ".repeat(integer(before, "pad")) + text(value) + " ".repeat(integer(after, "pad"));
  }),
  truncate: of(2, 2, ([value, length]) => text(value).slice(0, integer(length, "truncate"))),
};
