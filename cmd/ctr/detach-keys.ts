/** Detach keys: a sequence such as `ctrl-p,ctrl-q` that is looked for in what is typed. */
import { CtrError, EACCES, ENOENT, ENOTDIR, isErrno } from "../../internal/errors/error.ts";
import { readText } from "../../internal/sys/file.ts";
import { printError } from "./output.ts";

const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

/**
 * The keys that detach: the flag's, else `detachKeys` of the caller's Docker configuration, else Docker's own. The
 * configuration is read only where keys matter, at a terminal. Throws `invalid`.
 */
export function chooseDetachKeys(flag: string | undefined, hasTerminal: boolean): Uint8Array {
  if (flag !== undefined && flag !== "") return parseDetachKeys(flag);
  return parseDetachKeys((hasTerminal ? configuredKeys() : undefined) ?? DEFAULT_DETACH_KEYS);
}

function configuredKeys(): string | undefined {
  const directory = process.env["DOCKER_CONFIG"] || `${process.env["HOME"] || "/root"}/.docker`;
  const path = `${directory}/config.json`;
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR, EACCES)) return undefined;
    throw error;
  }
  try {
    const config: unknown = JSON.parse(text);
    const keys =
      typeof config === "object" && config !== null && "detachKeys" in config ? config.detachKeys : undefined;
    return typeof keys === "string" && keys !== "" ? keys : undefined;
  } catch (error) {
    // As Docker's client: a broken file keeps nobody from working.
    printError(`WARNING: Error loading config file: ${path}: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

/** The bytes of a sequence (moby/term ToBytes). Throws `invalid`. */
export function parseDetachKeys(text: string): Uint8Array {
  const bytes = text.split(",").map((key) => {
    const [, control] = /^ctrl-([a-z@[\\\]^_])$/.exec(key) ?? [];
    if (control !== undefined) return control.toUpperCase().charCodeAt(0) - 64;
    const code = key.length === 1 ? key.charCodeAt(0) : -1;
    if (code < 0 || code > 0x7f)
      throw new CtrError("invalid", `invalid detach keys (${text}): Unknown character: '${key}'`);
    return code;
  });
  return new Uint8Array(bytes);
}

/** Looks for the sequence across chunks; what only began like it is handed on after all. */
export class DetachWatch {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** The bytes to pass on, and whether the sequence was completed; what follows it is dropped. */
  push(chunk: Uint8Array): { readonly data: Uint8Array; readonly isDetached: boolean } {
    const keys = this.#keys;
    if (keys.length === 0) return { data: chunk, isDetached: false };
    if (this.#matched === 0 && chunk.indexOf(keys[0] ?? -1) < 0) return { data: chunk, isDetached: false };
    const data: number[] = [];
    for (const byte of chunk) {
      if (byte === keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === keys.length) return { data: new Uint8Array(data), isDetached: true };
        continue;
      }
      data.push(...keys.subarray(0, this.#matched));
      this.#matched = byte === keys[0] ? 1 : 0;
      if (this.#matched === 0) data.push(byte);
    }
    return { data: new Uint8Array(data), isDetached: false };
  }
}
