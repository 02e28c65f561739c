/** The driver `syslog`: messages as Docker's (moby daemon/logger/syslog, srslog) by the sockets of syslog(3), UDP, TCP or TLS. */
import { CtrError, SyscallError } from "../../errors/error.ts";
import { readText } from "../../sys/file.ts";
import type { ContainerRecord } from "../record.ts";
import { DatagramSender, udpDatagrams, unixDatagrams } from "./datagram-sender.ts";
import type { LogMessage } from "./lines.ts";
import { type SyslogSettings, syslogSettings } from "./options.ts";
import { LOG_STDERR } from "./record.ts";
import { RemoteSink, type Sender } from "./remote-sink.ts";
import { StreamSender } from "./stream-sender.ts";
import { expandTag } from "./tag.ts";

const SEVERITY_ERROR = 3;
const SEVERITY_INFORMATIONAL = 6;
/** Where the C library looks, and others have looked. */
const LOCAL_SOCKETS = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/** Connects. Throws, in Docker's words, when nobody is there. */
export async function openSyslog(record: ContainerRecord): Promise<RemoteSink> {
  const { Config } = record.hostConfig.LogConfig;
  const settings = syslogSettings(Config);
  const tag = expandTag(Config["tag"] || "{{.ID}}", record);
  let sender: Sender;
  try {
    sender = await openSender(settings, Config);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CtrError("unavailable", `failed to initialize logging driver: ${reason}`, { cause: error });
  }
  const format = formatter(settings, tag);
  return new RemoteSink(sender, format);
}

async function openSender(settings: SyslogSettings, options: { readonly [name: string]: string }): Promise<Sender> {
  const { transport, path, host, port } = settings;
  switch (transport) {
    case "unixgram":
      return path === "" ? await openLocal() : new DatagramSender(unixDatagrams(path));
    case "unix":
      return await StreamSender.open({ unix: path });
    case "udp":
      return new DatagramSender(udpDatagrams(await resolve(host), port));
    case "tcp":
      return await StreamSender.open({ hostname: host, port });
    case "tcp+tls":
      return await StreamSender.open({ hostname: host, port, tls: tlsOptions(options, host) });
    default:
      return transport satisfies never;
  }
}

/** The host's own socket, of either kind. */
async function openLocal(): Promise<Sender> {
  for (const path of LOCAL_SOCKETS) {
    try {
      return new DatagramSender(unixDatagrams(path));
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
    try {
      return await StreamSender.open({ unix: path });
    } catch {
      // Not there, or of the other kind: the next place.
    }
  }
  throw new Error("Unix syslog delivery error");
}

async function resolve(host: string): Promise<string> {
  if (/^[\d.]+$|:/.test(host)) return host;
  const [first] = await Bun.dns.lookup(host);
  if (first === undefined) throw new Error(`lookup ${host}: no such host`);
  return first.address;
}

function tlsOptions(options: { readonly [name: string]: string }, host: string): Bun.TLSOptions {
  const file = (name: string) => {
    const path = options[name] ?? "";
    return path === "" ? undefined : readText(path);
  };
  const [ca, cert, key] = [file("syslog-tls-ca-cert"), file("syslog-tls-cert"), file("syslog-tls-key")];
  return {
    serverName: host,
    // Docker: any value switches the check off.
    rejectUnauthorized: (options["syslog-tls-skip-verify"] ?? "") === "",
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

const encoder = new TextEncoder();
const NEWLINE = Uint8Array.of(10);

function formatter(settings: SyslogSettings, tag: string): (message: LogMessage) => Uint8Array {
  const hostname = readText("/proc/sys/kernel/hostname").trim();
  const { pid } = process;
  const start = (priority: number): string => {
    const now = new Date();
    switch (settings.format) {
      case "":
        return `<${priority}>${stamp(now)} ${tag}[${pid}]: `;
      case "rfc3164":
        return `<${priority}>${stamp(now)} ${hostname} ${tag}[${pid}]: `;
      case "rfc5424":
        return `<${priority}>1 ${rfc3339(now, "")} ${hostname} ${tag} ${pid} ${tag} - `;
      case "rfc5424micro":
        return `<${priority}>1 ${rfc3339(now, `.${micros(now)}`)} ${hostname} ${tag} ${pid} ${tag} - `;
      default:
        return settings.format satisfies never;
    }
  };
  // RFC 5425: over TLS a message of the new formats is preceded by its length.
  const isCounted = settings.transport === "tcp+tls" && settings.format.startsWith("rfc5424");
  return ({ stream, bytes }) => {
    const severity = stream === LOG_STDERR ? SEVERITY_ERROR : SEVERITY_INFORMATIONAL;
    const message = Buffer.concat([encoder.encode(start(settings.facility * 8 + severity)), bytes, NEWLINE]);
    return isCounted ? Buffer.concat([encoder.encode(`${message.length} `), message]) : message;
  };
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const two = (number: number): string => String(number).padStart(2, "0");

/** `Jan  2 15:04:05`, local time (RFC 3164 section 4.1.2). */
function stamp(now: Date): string {
  return `${MONTHS[now.getMonth()]} ${String(now.getDate()).padStart(2)} ${clock(now)}`;
}

function clock(now: Date): string {
  return `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}

/** RFC 3339 in local time, with these decimals. */
function rfc3339(now: Date, decimals: string): string {
  const offset = -now.getTimezoneOffset();
  const zone =
    offset === 0
      ? "Z"
      : `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}T${clock(now)}${decimals}${zone}`;
}

function micros(now: Date): string {
  const below = Math.floor((performance.now() % 1) * 1000);
  return `${String(now.getMilliseconds()).padStart(3, "0")}${String(below).padStart(3, "0")}`;
}
