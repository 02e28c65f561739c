/** Detach keys: a sequence such as `ctrl-p,ctrl-q` that is looked for in what is typed. */
import { CtrError } from "../../internal/errors/error.ts";
import { userSetting } from "./user-config.ts";

const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

/**
 * The keys that detach: the flag's, else `detachKeys` of the caller's Docker configuration, else Docker's own. The
 * configuration is read only where keys matter, at a terminal. Throws `invalid`.
 */
export function chooseDetachKeys(flag: string | undefined, hasTerminal: boolean): Uint8Array {
  if (flag !== undefined && flag !== "") return parseDetachKeys(flag);
  return parseDetachKeys((hasTerminal ? userSetting("detachKeys") : undefined) ?? DEFAULT_DETACH_KEYS);
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
