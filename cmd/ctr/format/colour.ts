/** Colours: only on a terminal that has them, and only for who wants them (https://no-color.org). */
import { isTerminal } from "../../../internal/sys/terminal.ts";

/** True if what is written to this descriptor may be coloured. */
export function mayColour(fd: number): boolean {
  const { NO_COLOR, TERM } = process.env;
  return (NO_COLOR ?? "") === "" && TERM !== undefined && TERM !== "dumb" && isTerminal(fd);
}

/** ECMA-48's "increased intensity". */
export function bold(text: string): string {
  return `\x1b[1m${text}\x1b[22m`;
}

/** Grey: for what is not the point. */
export function dim(text: string): string {
  return `\x1b[2m${text}\x1b[22m`;
}
