/**
 * What a subcommand is: a citty definition (for `--help` and for its types) and an action. `flags.ts` parses it,
 * because citty cannot parse Docker's grammar (flags end at the image, `-e` repeats, unknown flags are errors).
 */
import type { BooleanArgDef, CommandMeta, StringArgDef } from "citty";

/** A flag that takes a value; with `repeatable` every occurrence counts, in order. `valueHint` is Docker's type word. */
export type StringFlag = StringArgDef & { readonly repeatable?: boolean };
/** A flag that takes none (`--flag`, `--flag=false`). */
export type BooleanFlag = BooleanArgDef;
export type FlagDefinitions = { readonly [long: string]: StringFlag | BooleanFlag };

/** The parsed value of each flag: boolean, list of strings, or string (undefined when absent and without default). */
export type Flags<D extends FlagDefinitions> = {
  readonly [Name in keyof D]: D[Name] extends { type: "boolean" }
    ? boolean
    : D[Name] extends { repeatable: true }
      ? readonly string[]
      : D[Name] extends { default: string }
        ? string
        : string | undefined;
};

/** One invocation: the flags, the operands, and where the engine lives. */
export interface Call<D extends FlagDefinitions> {
  readonly flags: Flags<D>;
  readonly operands: readonly string[];
  readonly directories: Directories;
}

/** The engine's two directories: `--root`/`CTR_ROOT` (default /var/lib/ctr) and `--state`/`CTR_STATE` (default /run/ctr). */
export interface Directories {
  readonly root: string;
  readonly state: string;
  /** `--storage-driver`/`CTR_STORAGE_DRIVER`. */
  readonly storageDriver?: string;
  /** `CTR_CONFIG`. */
  readonly config?: string | undefined;
}

export interface Command<D extends FlagDefinitions = FlagDefinitions> {
  readonly meta: CommandMeta & { readonly name: string; readonly description: string };
  /** The usage line after the command's name: `[OPTIONS] CONTAINER [CONTAINER...]`. */
  readonly usage: string;
  readonly flags: D;
  /** How many operands: least and most. */
  readonly operands: readonly [least: number, most: number];
  /** True if everything after the first operand belongs to the program (`run`, `exec`, `create`). */
  readonly stopsAtOperand?: boolean;
  /** The exit status when the command itself fails: 125 for `run`, otherwise 1. */
  readonly failureStatus?: number;
  /** The exit status. Throws CtrError for what `fail.ts` prints. */
  run(call: Call<D>): Promise<number>;
}

/** Gives a command its types: `export const command = defineCommand({ … })`. */
export function defineCommand<const D extends FlagDefinitions>(command: Command<D>): Command<D> {
  return command;
}

const REFER =
  "Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

/** What `--help` says of the `--format` of a list. */
export const FORMAT_HELP =
  "Format output using a custom template:\n'table':            Print output in table format with column headers (default)\n" +
  "'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print in JSON format\n" +
  `'TEMPLATE':         Print output using the given Go template.\n${REFER}`;

/** What `--help` says of the `--format` of an object. */
export const INSPECT_HELP =
  "Format output using a custom template:\n'json':             Print in JSON format\n" +
  `'TEMPLATE':         Print output using the given Go template.\n${REFER}`;
