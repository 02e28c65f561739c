/** Reading and writing a cgroup's control files, with errors that say what the kernel's word means. */
import { CtrError, EACCES, ENODEV, ENOENT, EPERM, EROFS, isErrno, withContext } from "../errors/error.ts";
import { readText, writeInto } from "../sys/file.ts";

/**
 * Writes a value into a control file. `attempt` is the user's word for it and begins the message. Throws
 * `unsupported` if this kernel or its configuration does not have the file.
 */
export function writeControl(directory: string, file: string, value: string | number, attempt: string): void {
  try {
    writeInto(`${directory}/${file}`, String(value));
  } catch (error) {
    throw explain(error, directory, file, `${attempt} ${value}`);
  }
}

/** The sentence for a failed access of a control file. */
export function explain(error: unknown, directory: string, file: string, attempt: string): CtrError {
  if (isErrno(error, ENOENT)) {
    return new CtrError("unsupported", `${attempt}: this kernel has no ${file} (${directory})`, { cause: error });
  }
  if (isErrno(error, EACCES, EPERM, EROFS)) {
    return new CtrError("denied", `${attempt}: not allowed to write ${directory}/${file}`, { cause: error });
  }
  return withContext(attempt, error);
}

/** The content of a control file. */
export function readControl(directory: string, file: string): string {
  return readText(`${directory}/${file}`);
}

/** The content, or undefined where the kernel does not have the file, or no longer: ENODEV, while it was open. */
export function readControlIfAny(directory: string, file: string): string | undefined {
  try {
    return readControl(directory, file);
  } catch (error) {
    if (isErrno(error, ENOENT, ENODEV)) return undefined;
    throw error;
  }
}

/** A control file that holds one number; `max` and v1's "no limit" (2^63 rounded down to a page) are undefined. */
export function readLimit(directory: string, file: string): number | undefined {
  const text = readControlIfAny(directory, file)?.trim();
  if (text === undefined || text === "max" || text === "-1") return undefined;
  const number = Number(text);
  return number >= 2 ** 62 ? undefined : number;
}

/** A control file of lines `key value`; empty where the kernel does not have it. */
export function readPairs(directory: string, file: string): ReadonlyMap<string, number> {
  return parsePairs(readControlIfAny(directory, file) ?? "");
}

/** Lines `key value`. */
export function parsePairs(text: string): ReadonlyMap<string, number> {
  const pairs = new Map<string, number>();
  for (const line of text.split("\n")) {
    const blank = line.indexOf(" ");
    if (blank > 0) pairs.set(line.slice(0, blank), Number(line.slice(blank + 1)));
  }
  return pairs;
}
