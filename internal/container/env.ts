/** The environment: flags, files, the image's, and the order they come in. */
import { OptionError } from "./option-error.ts";

export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The caller's variables, for `-e NAME`. */
export type Variables = { readonly [name: string]: string | undefined };

/** One `-e`: `NAME=value`; a bare `NAME` takes the caller's value, and without one stays bare, which unsets it. */
export function parseEnv(flag: string, text: string, caller: Variables): string {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name === "") throw new OptionError(`invalid environment variable: ${text}`, flag, text);
  checkEntry(text);
  const value = equals < 0 && Object.hasOwn(caller, name) ? caller[name] : undefined;
  return value === undefined ? text : `${name}=${value}`;
}

/**
 * An env or label file: a line is `NAME=value` as it stands (leading blanks go, trailing ones stay), or a bare name, for
 * which `lookup` gives the line or nothing. `#` starts a comment only at the start of a line; a byte order mark is
 * skipped.
 */
export function parseKeyValueFile(
  path: string,
  content: Uint8Array,
  lookup: (name: string) => string | undefined,
): string[] {
  const wrong = (why: string) => new OptionError(`invalid env file (${path}): ${why}`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    throw wrong("invalid utf8 bytes");
  }
  const found: string[] = [];
  for (const raw of text.split("\n")) {
    const line = (raw.endsWith("\r") ? raw.slice(0, -1) : raw).trimStart();
    if (line === "" || line.startsWith("#")) continue;
    checkEntry(line);
    const equals = line.indexOf("=");
    const name = equals < 0 ? line : line.slice(0, equals);
    if (name === "") throw wrong(`no variable name on line '${line}'`);
    if (/\s/.test(name)) throw wrong(`variable '${name}' contains whitespaces`);
    const entry = equals < 0 ? lookup(name) : line;
    if (entry !== undefined) found.push(entry);
  }
  return found;
}

/** The lookup of an env file: the caller's value, or nothing. */
export function fromCaller(caller: Variables): (name: string) => string | undefined {
  return (name) => (Object.hasOwn(caller, name) && caller[name] !== undefined ? `${name}=${caller[name]}` : undefined);
}

/** What execve(2) takes of one string, its end included: MAX_ARG_STRLEN, 32 pages. */
const MAX_ENTRY_BYTES = 131_072;

/** execve(2) takes strings that end at the first NUL, and none that is longer. */
function checkEntry(text: string): void {
  if (text.includes("\0")) throw new OptionError("invalid environment variable: it contains a NUL byte");
  if (text.length * 3 < MAX_ENTRY_BYTES || Buffer.byteLength(text) < MAX_ENTRY_BYTES) return;
  throw new OptionError(`invalid environment variable: ${envName(text)} is longer than ${MAX_ENTRY_BYTES - 1} bytes`);
}

/** The name of an entry. */
export function envName(entry: string): string {
  const equals = entry.indexOf("=");
  return equals < 0 ? entry : entry.slice(0, equals);
}

/** What the user gave, a repeated name replaced in place; a bare one beside it takes no value away. */
export function withoutRepetitions(entries: readonly string[]): string[] {
  const byName = new Map<string, string>();
  for (const entry of entries) byName.set(entry.includes("=") ? `${envName(entry)}=` : entry, entry);
  return [...byName.values()];
}

/** The recorded environment: the user's entries, then those of the image that the user does not name (moby `merge`). */
export function mergeEnv(image: readonly string[], user: readonly string[]): string[] {
  const own = withoutRepetitions(user);
  const names = new Set(own.map(envName));
  return [...own, ...image.filter((entry) => !names.has(envName(entry)))];
}

/**
 * The program's environment: `defaults` with `entries` over them, in place or at the end; a bare name takes a default away,
 * not what another entry says (moby container.ReplaceOrAppendEnvVars).
 */
export function overlayEnv(defaults: readonly string[], entries: readonly string[]): string[] {
  const byName = new Map(defaults.map((entry) => [envName(entry), entry]));
  for (const entry of entries) if (!entry.includes("=")) byName.delete(entry);
  for (const entry of entries) if (entry.includes("=")) byName.set(envName(entry), entry);
  return [...byName.values()];
}
