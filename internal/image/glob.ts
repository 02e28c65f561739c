/** Patterns for names, as Go's path.Match has them. */
import { CtrError } from "../errors/error.ts";

/** `*` and `?` stay within a component. Throws `invalid` for a pattern that cannot be read. */
export function globMatches(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  try {
    return new RegExp(`^${source}$`).test(text);
  } catch (error) {
    throw new CtrError("invalid", `syntax error in pattern ${JSON.stringify(pattern)}`, { cause: error });
  }
}
