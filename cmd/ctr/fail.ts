/** How a failure reaches the user: one line `ctr: what was attempted: why`, and the exit status. */
import { CtrError } from "../../internal/errors/error.ts";
import { UsageError } from "./flags.ts";
import { printError } from "./output.ts";

/** What was going on when it failed. */
export interface FailureContext {
  /** The command as typed: `ctr container ls`. */
  readonly path: string;
  readonly usage: string;
  /** The command's own status for a failure that brings none. */
  readonly failureStatus: number;
  readonly isDebug: boolean;
}

/** Prints the failure; returns the exit status. */
export function reportFailure(error: unknown, context: FailureContext): number {
  if (error instanceof UsageError) {
    const usage = error.usage ?? `\n\nUsage:  ${context.usage}`;
    const hint =
      error.hint ?? (error.usage === undefined ? `\n\nRun '${context.path} --help' for more information` : "");
    const guesses =
      error.guesses.length === 0
        ? ""
        : `\n\nDid you mean this?\n${error.guesses.map((name) => `\t${name}`).join("\n")}`;
    printError(harmless(error.message) + guesses + harmless(usage, true) + harmless(hint, true));
  } else {
    printFailure(error);
  }
  if (context.isDebug) printCauses(error);
  return error instanceof CtrError && error.exitStatus !== undefined ? error.exitStatus : context.failureStatus;
}

/** One line for one failure: for commands that go on with their next target. */
export function printFailure(error: unknown): void {
  const first = firstOf(error);
  printError(`ctr: ${harmless(first instanceof Error ? first.message : String(first))}`);
}

/** What went wrong first, where something went wrong again while it was cleaned up after. */
function firstOf(error: unknown): unknown {
  return error instanceof SuppressedError ? firstOf(error.suppressed) : error;
}

/**
 * Text that cannot steer a terminal: control characters, line separators and direction overrides are written as
 * escapes. Names and paths in a message may come from an image or a container.
 */
export function harmless(text: string, mayHaveLines = false): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    if (character === "\n" && mayHaveLines) return character;
    const code = character.charCodeAt(0);
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

function printCauses(error: unknown): void {
  for (let at = error, depth = 0; at !== undefined && depth < 16; depth++) {
    printError(harmless(at instanceof Error ? (at.stack ?? at.message) : String(at), true));
    at = at instanceof Error ? at.cause : undefined;
    if (at !== undefined) printError("caused by:");
  }
}
