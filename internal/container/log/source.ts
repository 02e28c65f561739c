/** Where `logs` finds what a container wrote. */
import type { Engine } from "../../db/engine.ts";
import { CtrError } from "../../errors/error.ts";
import type { ContainerRecord } from "../record.ts";
import { formatDetails, lineAttributes } from "./attributes.ts";
import { cacheRotation } from "./options.ts";
import type { LogSource } from "./print-log.ts";
import { jsonLogPath, logPath } from "./record.ts";

/** The log, and the attributes of its lines. Throws `unsupported`, in Docker's words, where there is none to read. */
export function logSource(engine: Engine, record: ContainerRecord): LogSource & { readonly details: string } {
  const { Type, Config } = record.hostConfig.LogConfig;
  const hasCopy = Type !== "journald" && Type !== "syslog" ? Type !== "none" : cacheRotation(Config) !== undefined;
  if (!hasCopy) throw new CtrError("unsupported", "configured logging driver does not support reading");
  const details = formatDetails(lineAttributes(record) ?? {});
  if (Type === "json-file") return { path: jsonLogPath(engine.root, record.id), format: "json-file", details };
  return { path: logPath(engine.root, record.id), format: "local", details };
}
