/** What a prune of images removed, as Docker lists it. */
import type { Removal } from "../../../internal/image/remove.ts";

/** The list with its title and an empty line; nothing if there was nothing. */
export function removalLines(removals: readonly Removal[]): string {
  if (removals.length === 0) return "";
  return `Deleted Images:\n${removals.map(({ kind, name }) => `${kind}: ${name}\n`).join("")}\n`;
}
