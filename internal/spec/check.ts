/**
 * Small checkers of which a parser of JSON is put together: each gives back what it has checked, copied, or refuses it. They
 * run in every container start, so that good fields cost next to nothing.
 */
import { CtrError } from "../errors/error.ts";

export type Check<T> = (value: unknown) => T;
type Optional<T> = { readonly optional: Check<T> };
type Fields<T> = {
  readonly [K in keyof T]-?: object extends Pick<T, K> ? Optional<Exclude<T[K], undefined>> : Check<T[K]>;
};

// Bounds: a spec that exceeds them is no spec. execve(2) takes strings of at most 128 KiB (MAX_ARG_STRLEN).
const MAX_STRING = 131072;
const MAX_ITEMS = 65536;
const TWO_64 = 2 ** 64;

/** What is wrong with a field; the path grows while the error climbs out, so that good fields cost nothing. */
class Refusal {
  readonly why: string;
  path = "";

  constructor(why: string) {
    this.why = why;
  }
}

export function refuse(why: string): never {
  throw new Refusal(why);
}

/** Rethrows with the field's place put in front. */
function inside(key: string | number, error: unknown): never {
  if (error instanceof Refusal) {
    const join = error.path === "" || error.path.startsWith("[") ? "" : ".";
    error.path = `${typeof key === "number" ? `[${key}]` : key}${join}${error.path}`;
  }
  throw error;
}

export function parse<T>(check: Check<T>, value: unknown, name: string): T {
  try {
    return check(value);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const join = name === "" || error.path === "" || error.path.startsWith("[") ? "" : ".";
    const path = `${name}${join}${error.path}`;
    throw new CtrError("invalid", `${path === "" ? "spec" : path}: ${error.why}`);
  }
}

export function optional<T>(check: Check<T>): Optional<T> {
  return { optional: check };
}

export function object<T>(fields: Fields<T>): Check<T> {
  // Built on first use: most starts meet no seccomp profile, no hooks and no device limits, and need not pay for them.
  let table: Table | undefined;
  return (value) => {
    table ??= tableOf(fields);
    const { checks, required } = table;
    const from = record(value);
    const to: { [key: string]: unknown } = {};
    let key = "";
    try {
      for (key of Object.keys(from)) {
        const check = checks[key];
        const field = from[key];
        if (check !== undefined && field !== undefined && field !== null) to[key] = check(field);
      }
      for (key of required) if (to[key] === undefined) refuse("is missing");
    } catch (error) {
      inside(key, error);
    }
    return to as T;
  };
}

interface Table {
  readonly checks: { readonly [key: string]: Check<unknown> };
  readonly required: readonly string[];
}

function tableOf<T>(fields: Fields<T>): Table {
  // Without a prototype, so that only what is in the table is found there.
  const checks: { [key: string]: Check<unknown> } = Object.create(null);
  const required: string[] = [];
  for (const [key, field] of Object.entries<Check<unknown> | Optional<unknown>>(fields)) {
    if (typeof field === "function") required.push(key);
    checks[key] = typeof field === "function" ? field : field.optional;
  }
  return { checks, required };
}

function record(value: unknown): { readonly [key: string]: unknown } {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse("must be an object");
  return value as { readonly [key: string]: unknown };
}

export function list<T>(check: Check<T>, maxItems = MAX_ITEMS): Check<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value)) return refuse("must be a list");
    if (value.length > maxItems) refuse(`has more than ${maxItems} entries`);
    const to: T[] = [];
    let at = 0;
    try {
      for (; at < value.length; at++) to.push(check(value[at]));
    } catch (error) {
      inside(at, error);
    }
    return to;
  };
}

export function map<T>(check: Check<T>): Check<{ readonly [key: string]: T }> {
  return (value) => {
    const from = record(value);
    const keys = Object.keys(from);
    if (keys.length > MAX_ITEMS) refuse(`has more than ${MAX_ITEMS} entries`);
    // Without a prototype, so that a key named __proto__ is only a key.
    const to: { [key: string]: T } = Object.create(null);
    let key = "";
    try {
      for (key of keys) to[text(key)] = check(from[key]);
    } catch (error) {
      inside(key, error);
    }
    return to;
  };
}

export const text: Check<string> = (value) => {
  if (typeof value !== "string") return refuse("must be a string");
  if (value.length > MAX_STRING) refuse(`is longer than ${MAX_STRING} characters`);
  if (value.includes("\0")) refuse("must not hold a NUL");
  return value;
};

export const absolutePath: Check<string> = (value) => {
  const path = text(value);
  return path[0] === "/" ? path : refuse("must be an absolute path");
};

export const flag: Check<boolean> = (value) => (typeof value === "boolean" ? value : refuse("must be true or false"));

export function integer(least: number, most: number): Check<number> {
  return (value) => {
    const number = typeof value === "bigint" ? Number(value) : value;
    if (typeof number !== "number" || !Number.isInteger(number)) return refuse("must be a whole number");
    if (number < least || number > most) refuse(`must be between ${least} and ${most}`);
    return number;
  };
}

export function oneOf<T extends string>(...words: readonly T[]): Check<T> {
  return (value) => {
    for (const word of words) if (word === value) return word;
    return refuse(`must be one of ${words.join(", ")}`);
  };
}

export const uint16 = integer(0, 0xffff);
export const uint32 = integer(0, 0xffffffff);
export const int32 = integer(-(2 ** 31), 2 ** 31 - 1);
export const uint64 = integer(0, TWO_64);
/** Each bit counts: a bigint stays one. */
export const bits64: Check<number | bigint> = (value) => {
  const number = uint64(value);
  if (typeof value !== "bigint") return number;
  return value < 2n ** 64n ? value : refuse("must be a number of 64 bits");
};
export const int64 = integer(-(2 ** 63), 2 ** 63);
