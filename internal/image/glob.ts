/** Patterns for names, as Go's path.Match has them. */
import { CtrError } from "../errors/error.ts";

/** A set's member is a character, or two with what lies between them; a backslash takes what follows as it is. */
const MEMBER = String.raw`(?:\\.|[^\\\]-])`;
const RANGES = `(?:${MEMBER}(?:-${MEMBER})?)+`;
const PART = new RegExp(String.raw`\*+|\?|\[(?:\^|(?!\^))${RANGES}\]|\\.|[^*?[\\]`, "gsu");

/**
 * What tells whether a text as a whole is what the pattern means: `*` and `?` stay within a component, `[a-z]` and `[^a]`
 * are sets. Throws `invalid` for a pattern that cannot be read.
 */
export function globMatcher(pattern: string): (text: string) => boolean {
  const parts = [...pattern.matchAll(PART)].map(([part]) => part);
  // What no part begins with is left out: a set that does not end, a backslash with nothing behind it.
  if (parts.join("") !== pattern) throw new CtrError("invalid", `syntax error in pattern ${JSON.stringify(pattern)}`);
  const matcher = new RegExp(`^${parts.map(sourceOf).join("")}$`, "su");
  return (text) => matcher.test(text);
}

function sourceOf(part: string): string {
  if (part.startsWith("*")) return "[^/]*";
  if (part === "?") return "[^/]";
  return part.startsWith("[") ? setSource(part) : literal(plain(part));
}

function setSource(part: string): string {
  const isNegated = part.startsWith("[^");
  const ranges = part.slice(isNegated ? 2 : 1, -1).matchAll(new RegExp(`(${MEMBER})(?:-(${MEMBER}))?`, "gsu"));
  const members = [...ranges].map(([, from = "", to = from]) => {
    const [least, most] = [plain(from), plain(to)];
    // Between the wrong way round lies nothing, which a regular expression would refuse.
    return least > most ? "" : `${literal(least)}-${literal(most)}`;
  });
  return `[${isNegated ? "^" : ""}${members.join("")}]`;
}

function plain(member: string): string {
  return member.startsWith("\\") ? member.slice(1) : member;
}

function literal(character: string): string {
  return /[\^$\\.*+?()[\]{}|/-]/.test(character) ? `\\u{${character.codePointAt(0)?.toString(16)}}` : character;
}
