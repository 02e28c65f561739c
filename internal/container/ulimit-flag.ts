/** `--ulimit`. */
import { OptionError } from "./option-error.ts";
import type { Ulimit } from "./record.ts";

const ULIMITS =
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as".split(" ");

/** `type=soft[:hard]`; -1 is unlimited. Throws OptionError. */
export function parseUlimit(text: string): Ulimit {
  const [, name = "", first, second] = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text) ?? [];
  if (first === undefined) throw new OptionError(`invalid ulimit argument: ${text}`, "ulimit", text);
  if (!ULIMITS.includes(name)) throw new OptionError(`invalid ulimit type: ${name}`, "ulimit", text);
  const soft = Number(first);
  const hard = second === undefined ? soft : Number(second);
  const isTooSoft = hard !== -1 && (soft === -1 || soft > hard);
  if (soft < -1 || hard < -1 || !Number.isSafeInteger(soft) || !Number.isSafeInteger(hard)) {
    throw new OptionError(`invalid ulimit argument: ${text}`, "ulimit", text);
  }
  if (isTooSoft) {
    throw new OptionError(
      `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`,
      "ulimit",
      text,
    );
  }
  return { Name: name, Soft: soft, Hard: hard };
}
