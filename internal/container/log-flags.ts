/** `--log-driver` and `--log-opt` over what the engine is set to. */

import { loadEngineConfig } from "../db/engine-config.ts";
import type { Variables } from "./env.ts";
import { DEFAULT_LOG_CONFIG } from "./log/default.ts";
import { OptionError } from "./option-error.ts";
import type { HostConfig } from "./record.ts";

type LogConfig = HostConfig["LogConfig"];

/**
 * The container's LogConfig. As in Docker, options that the engine is set to hold for its own driver only, one by one
 * where the user gives no other. What the options mean is checked by `checkLogConfig`.
 */
export function logConfigFromFlags(
  flags: { readonly "log-driver": string | undefined; readonly "log-opt": readonly string[] },
  variables: Variables,
): LogConfig {
  const asked = flags["log-driver"] ?? "";
  const options = Object.fromEntries(
    flags["log-opt"].map((text) => {
      const equals = text.indexOf("=");
      return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
  if (asked === "none" && flags["log-opt"].length > 0) throw new OptionError("invalid logging opts for driver none");
  const { logDriver, logOpts = {} } = loadEngineConfig(variables);
  const standard = logDriver ?? DEFAULT_LOG_CONFIG.Type;
  if (asked === "" && logDriver === undefined && flags["log-opt"].length === 0 && Object.keys(logOpts).length === 0) {
    return DEFAULT_LOG_CONFIG;
  }
  const Type = asked === "" ? standard : asked;
  // Without a word about drivers the log has no end unless one is given.
  const own = asked === "" && logDriver === undefined ? DEFAULT_LOG_CONFIG.Config : {};
  return { Type, Config: { ...own, ...(Type === standard ? logOpts : {}), ...options } };
}
