/** The checks that every decoder is made of: each returns the field typed, or throws ProtocolError naming it. */
import { ProtocolError } from "../errors/error.ts";

/** A decoded frame before it is checked. */
export type Fields = { readonly [name: string]: unknown };

/** The frame as a map with a `type`. */
export function asFields(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw new ProtocolError("a message must be a map");
  }
  return value as Fields;
}

export function text(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== "string") throw new ProtocolError(`${name} must be text`);
  return value;
}

export function optionalText(fields: Fields, name: string): string | undefined {
  return fields[name] === undefined || fields[name] === null ? undefined : text(fields, name);
}

export function integer(
  fields: Fields,
  name: string,
  least = Number.MIN_SAFE_INTEGER,
  most = Number.MAX_SAFE_INTEGER,
): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most) {
    throw new ProtocolError(`${name} must be a whole number from ${least} to ${most}`);
  }
  return value;
}

export function optionalInteger(fields: Fields, name: string, least?: number, most?: number): number | undefined {
  return fields[name] === undefined || fields[name] === null ? undefined : integer(fields, name, least, most);
}

export function boolean(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (typeof value !== "boolean") throw new ProtocolError(`${name} must be true or false`);
  return value;
}

export function bytes(fields: Fields, name: string): Uint8Array {
  const value = fields[name];
  if (!(value instanceof Uint8Array)) throw new ProtocolError(`${name} must be bytes`);
  return value;
}

export function list<T>(fields: Fields, name: string, item: (value: unknown) => T): readonly T[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw new ProtocolError(`${name} must be a list`);
  return value.map(item);
}

export function textList(fields: Fields, name: string): readonly string[] {
  return list(fields, name, (value) => {
    if (typeof value !== "string") throw new ProtocolError(`${name} must hold text`);
    return value;
  });
}

export function oneOf<const T extends string>(fields: Fields, name: string, values: readonly T[]): T {
  const value = fields[name];
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw new ProtocolError(`${name} must be one of ${values.join(", ")}`);
  return found;
}
