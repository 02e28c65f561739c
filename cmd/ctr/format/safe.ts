/**
 * Text that names of a container's or an image's choosing have gone into, such that it cannot steer a terminal. What
 * programs read is not changed for them: JSON means the same, and a template's text is as it is unless a terminal shows it.
 */
import { isTerminal } from "../../../internal/sys/terminal.ts";
import { harmless } from "../fail.ts";

const STDOUT = 1;

/** JSON with escapes also for what JSON may hold as it is, but a terminal acts on (C1 controls, direction overrides). */
export function safeJson(value: unknown, indent?: number | string): string {
  return withEscapes(JSON.stringify(value, undefined, indent));
}

/** The same, for JSON that is there already. */
export function withEscapes(json: string): string {
  return json.replace(
    /[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** What makes a template's values safe to print where they are printed; its own text is the user's. */
export function valueFilter(): (text: string) => string {
  if (!isTerminal(STDOUT)) return (text) => text;
  return (text) =>
    text
      .split("\t")
      .map((part) => harmless(part, true))
      .join("\t");
}
