/** `--env-file` and `-e`, for `run`, `create` and `exec`. */
import { readFile } from "../sys/file.ts";
import { fromCaller, parseEnv, parseKeyValueFile, type Variables } from "./env.ts";
import { OptionError } from "./option-error.ts";

/** Files named on the command line are read up to this size. */
const MAX_FILE_BYTES = 4 << 20;

/** The entries of the files, then those of the flags. Throws OptionError. */
export function environmentFromFlags(
  flags: { readonly env: readonly string[]; readonly "env-file": readonly string[] },
  variables: Variables,
): string[] {
  const lookup = fromCaller(variables);
  return [
    ...flags["env-file"].flatMap((path) => parseKeyValueFile(path, readNamedFile(path), lookup)),
    ...flags.env.map((text) => parseEnv("env", text, variables)),
  ];
}

/** A file the user named; what is wrong with it is the flag's fault. `what` goes before the reason. */
export function readNamedFile(path: string, what?: string): Uint8Array {
  try {
    return readFile(path, MAX_FILE_BYTES);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OptionError(what === undefined ? why : `${what}: ${why}`);
  }
}
