/** The check of a new container's log options, loaded only where there are any. */
import { DEFAULT_LOG_CONFIG } from "../../internal/container/log/default.ts";
import type { FlagSpec } from "../../internal/container/spec-from-flags.ts";

/** Throws `invalid`, in Docker's words, for a log driver or an option that cannot be. */
export async function checkLog({ hostConfig }: FlagSpec): Promise<void> {
  if (hostConfig.LogConfig === DEFAULT_LOG_CONFIG) return;
  const { checkLogConfig } = await import("../../internal/container/log/options.ts");
  checkLogConfig(hostConfig.LogConfig);
}
