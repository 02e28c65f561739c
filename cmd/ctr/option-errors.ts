/** What is wrong with an option, in the command line's own form. */
import { OptionError } from "../../internal/container/option-error.ts";
import type { FlagDefinitions } from "./command.ts";
import { invalidValue, UsageError } from "./flags.ts";

/** Runs `read`; an OptionError of it becomes a UsageError of `command`. */
export function asUsageError<T>(command: string, definitions: FlagDefinitions, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    if (error.flag !== undefined) throw invalidValue(error.flag, definitions[error.flag], error.value, error.message);
    throw new UsageError(`ctr: ${error.message}`, 125, "", `\n\nRun 'ctr ${command} --help' for more information`);
  }
}
