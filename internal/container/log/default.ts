/** The log of a container that asks for nothing; the only part of the log options that every start loads. */
import type { HostConfig } from "../record.ts";

/** The engine's own format, and as with Docker's default no limit to it. */
export const DEFAULT_LOG_CONFIG: HostConfig["LogConfig"] = { Type: "local", Config: { "max-size": "0" } };

/** True for one that needs none of the other drivers, no rotation and no buffer. */
export function isPlainLog({ Type, Config }: HostConfig["LogConfig"]): boolean {
  return Type === "local" && Config["max-size"] === "0" && Config["mode"] !== "non-blocking";
}
