/** What `ctr netd`, the daemon, is told on its command line. */
import { CtrError } from "../../internal/errors/error.ts";
import { LOG_LEVELS, type LogLevel } from "../../internal/network/log.ts";

export interface Options {
  readonly logLevel: LogLevel;
}

/** Docker's and systemd's short word. */
const SHORT: { readonly [word: string]: LogLevel } = { warn: "warning", err: "error" };

/** Throws CtrError for what it does not understand. */
export function parseOptions(words: readonly string[]): Options {
  let logLevel: LogLevel = "info";
  for (let at = 0; at < words.length; at++) {
    const [flag = "", inline] = (words[at] ?? "").split("=", 2);
    if (flag !== "--log-level") throw new CtrError("invalid", `unknown flag: ${flag}`);
    if (inline === undefined) at += 1;
    logLevel = parseLevel(inline ?? words[at] ?? "");
  }
  return { logLevel };
}

function parseLevel(word: string): LogLevel {
  const level = SHORT[word] ?? LOG_LEVELS.find((one) => one === word);
  if (level === undefined)
    throw new CtrError("invalid", `invalid log level ${JSON.stringify(word)}: one of ${LOG_LEVELS.join(", ")}`);
  return level;
}
