/** From a container's LogConfig to the log that is written. Drivers other than the default are loaded when they are used. */
import type { ContainerRecord } from "../record.ts";
import { LogAppender } from "./append.ts";
import { isPlainLog } from "./default.ts";
import { jsonLogPath, logPath } from "./record.ts";
import type { Rotation } from "./rotating-file.ts";
import type { LogSink } from "./sink.ts";

/** Opens the log of a container that is about to run. Throws when it cannot be: then the container does not start. */
export function openSink(root: string, record: ContainerRecord): LogSink | Promise<LogSink> {
  if (isPlainLog(record.hostConfig.LogConfig)) return new LogAppender(logPath(root, record.id));
  return openOther(root, record);
}

async function openOther(root: string, record: ContainerRecord): Promise<LogSink> {
  const options = await import("./options.ts");
  const sink = await openDriver(root, record, options);
  const limit = options.bufferBytes(record.hostConfig.LogConfig);
  if (limit === undefined) return sink;
  const { RingSink } = await import("./ring.ts");
  return new RingSink(sink, limit);
}

async function openDriver(
  root: string,
  record: ContainerRecord,
  { localRotation, jsonFileRotation, cacheRotation }: typeof import("./options.ts"),
): Promise<LogSink> {
  const { Type, Config } = record.hostConfig.LogConfig;
  switch (Type) {
    case "json-file": {
      const { JsonFileSink } = await import("./json-file.ts");
      const { lineAttributes } = await import("./attributes.ts");
      return new JsonFileSink(jsonLogPath(root, record.id), jsonFileRotation(Config), lineAttributes(record));
    }
    case "none": {
      const { NoSink } = await import("./no-sink.ts");
      return new NoSink();
    }
    case "journald": {
      const { openJournald } = await import("./journald.ts");
      return await withCopy(root, record, cacheRotation(Config), await openJournald(record));
    }
    case "syslog": {
      const { openSyslog } = await import("./syslog.ts");
      return await withCopy(root, record, cacheRotation(Config), await openSyslog(record));
    }
    default:
      return new LogAppender(logPath(root, record.id), localRotation(Config));
  }
}

/** A driver whose log is elsewhere, and beside it the copy that `logs` reads. */
async function withCopy(
  root: string,
  record: ContainerRecord,
  rotation: Rotation | undefined,
  sink: LogSink,
): Promise<LogSink> {
  if (rotation === undefined) return sink;
  const { CopyingSink } = await import("./copying-sink.ts");
  return new CopyingSink(new LogAppender(logPath(root, record.id), rotation), sink);
}
