/** `--ulimit`. */
import { OptionError } from "./option-error.ts";
import type { Ulimit } from "./record.ts";

const ULIMITS =
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as".split(" ");

/** The limits by name, the last of a name; Docker's order. Throws OptionError. */
export function ulimitsFromFlags(texts: readonly string[]): readonly Ulimit[] {
  const byName = new Map(texts.map(parseUlimit).map((ulimit) => [ulimit.Name, ulimit]));
  return [...byName.values()].sort((a, b) => (a.Name < b.Name ? -1 : 1));
}

/** `type=soft[:hard]`; -1 is unlimited. */
function parseUlimit(text: string): Ulimit {
  const wrong = (why: string) => new OptionError(why, "ulimit", text);
  const equals = text.indexOf("=");
  if (equals < 0) throw wrong(`invalid ulimit argument: ${text}`);
  const [name, limits] = [text.slice(0, equals), text.slice(equals + 1)];
  if (!ULIMITS.includes(name)) throw wrong(`invalid ulimit type: ${name}`);
  const [soft = 0, hard = soft, another] = limits.split(":").map((limit) => {
    if (!/^[+-]?\d+$/.test(limit)) throw wrong(`strconv.ParseInt: parsing ${JSON.stringify(limit)}: invalid syntax`);
    const value = Number(limit);
    if (value < -1 || !Number.isSafeInteger(value)) throw wrong(`invalid ulimit argument: ${text}`);
    return value;
  });
  if (another !== undefined)
    throw wrong(`too many limit value arguments - ${limits}, can only have up to two, \`soft[:hard]\``);
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw wrong(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
  }
  return { Name: name, Hard: hard, Soft: soft };
}
