/** The name this program was called by, which the interpreter does not tell (proc(5), cmdline). */
import { readText } from "./file.ts";

// A longer path is nobody's link to us.
const MAX_BYTES = 1 << 21;

/** The last part of argv[0]: `ctr`, or the name of a link. */
export function calledAs(): string {
  const command = readText("/proc/self/cmdline", MAX_BYTES);
  const name = command.slice(0, command.indexOf("\0"));
  return name.slice(name.lastIndexOf("/") + 1);
}
