/** What a subcommand of `ctr oci` is. */
import { CtrError } from "../../internal/errors/error.ts";
import type { Flags, FlagTable } from "./flags.ts";
import type { Log } from "./log.ts";

/** What the global flags say. */
export interface Globals {
  /** An absolute path. */
  readonly root: string;
  readonly usesSystemd: boolean;
  readonly log: Log;
}

/** One call of a subcommand. */
export interface Call {
  readonly flags: Flags;
  readonly operands: readonly string[];
  readonly globals: Globals;
}

export interface OciCommand {
  readonly flags: FlagTable;
  /** How many operands it takes, at least and at most. */
  readonly operands: readonly [least: number, most: number];
  /** What stands behind its name in help. */
  readonly usage: string;
  readonly summary: string;
  readonly stopsAtOperand?: boolean;
  /** Put in front of what went wrong, as runc does: `runc create failed`. */
  readonly failure?: string;
  /** The exit status of a failure that brings none; 1. */
  readonly failureStatus?: number;
  /** Returns the exit status. */
  run(call: Call): number | Promise<number>;
}

/** What goes wrong without stopping anything is in the log. */
export function warnIn({ globals: { log } }: Call): (message: string) => void {
  return (message) => log.write("warning", message);
}

/** The first operand. */
export function containerId({ operands }: Call): string {
  const [id] = operands;
  if (id === undefined || id === "") throw new CtrError("invalid", "container id cannot be empty");
  return id;
}
