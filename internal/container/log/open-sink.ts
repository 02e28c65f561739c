/** From a container's LogConfig to the log that is written. Drivers other than the default are loaded when they are used. */
import type { ContainerRecord } from "../record.ts";
import { LogAppender } from "./append.ts";
import { bufferBytes, cacheRotation, jsonFileRotation, localRotation } from "./options.ts";
import { jsonLogPath, logPath } from "./record.ts";
import type { LogSink } from "./sink.ts";

/** Opens the log of a container that is about to run. Throws when it cannot be: then the container does not start. */
export function openSink(root: string, record: ContainerRecord): LogSink | Promise<LogSink> {
  const { LogConfig } = record.hostConfig;
  if (LogConfig.Type === "local" && bufferBytes(LogConfig) === undefined) return openLocal(root, record);
  return openOther(root, record);
}

function openLocal(root: string, { id, hostConfig }: ContainerRecord): LogAppender {
  return new LogAppender(logPath(root, id), localRotation(hostConfig.LogConfig.Config));
}

async function openOther(root: string, record: ContainerRecord): Promise<LogSink> {
  const sink = await openDriver(root, record);
  const limit = bufferBytes(record.hostConfig.LogConfig);
  if (limit === undefined) return sink;
  const { RingSink } = await import("./ring.ts");
  return new RingSink(sink, limit);
}

async function openDriver(root: string, record: ContainerRecord): Promise<LogSink> {
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
      return withCopy(root, record, await openJournald(record));
    }
    case "syslog": {
      const { openSyslog } = await import("./syslog.ts");
      return withCopy(root, record, await openSyslog(record));
    }
    default:
      return openLocal(root, record);
  }
}

/** A driver whose log is elsewhere, and beside it the copy that `logs` reads. */
async function withCopy(root: string, record: ContainerRecord, sink: LogSink): Promise<LogSink> {
  const rotation = cacheRotation(record.hostConfig.LogConfig.Config);
  if (rotation === undefined) return sink;
  const { CopyingSink } = await import("./copying-sink.ts");
  return new CopyingSink(new LogAppender(logPath(root, record.id), rotation), sink);
}
