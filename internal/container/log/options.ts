/**
 * Log drivers and their options: what `--log-driver` and `--log-opt` may say, in Docker's words when they may not, and
 * what a container's recorded LogConfig means.
 */
import { CtrError } from "../../errors/error.ts";
import type { HostConfig } from "../record.ts";
import type { Rotation } from "./rotating-file.ts";
import { checkTag } from "./tag.ts";

export type LogConfig = HostConfig["LogConfig"];
type Options = LogConfig["Config"];

const LINE_OPTIONS = ["labels", "labels-regex", "env", "env-regex", "tag"];
const FILE_OPTIONS = ["max-size", "max-file", "compress"];
const CACHE_OPTIONS = ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];
const SYSLOG_OPTIONS = [
  "syslog-address",
  "syslog-facility",
  "syslog-format",
  "syslog-tls-ca-cert",
  "syslog-tls-cert",
  "syslog-tls-key",
  "syslog-tls-skip-verify",
];
/** For every driver. */
const COMMON_OPTIONS = ["mode", "max-buffer-size"];

interface Driver {
  readonly options: readonly string[];
  /** Docker's sentence about an option that is not one. */
  readonly unknown: (option: string) => string;
  /** What else is wrong with the options, found before the container starts. */
  readonly check: (options: Options) => void;
}

const asDriver = (name: string) => (option: string) => `unknown log opt '${option}' for ${name} log driver`;

const DRIVERS: { readonly [name: string]: Driver } = {
  local: {
    options: [...FILE_OPTIONS, ...LINE_OPTIONS],
    unknown: (option) => `unknown log opt '${option}' for log driver local`,
    check: (options) => void localRotation(options),
  },
  "json-file": {
    options: [...FILE_OPTIONS, ...LINE_OPTIONS],
    unknown: asDriver("json-file"),
    check: (options) => void jsonFileRotation(options),
  },
  none: { options: [], unknown: () => "invalid logging opts for driver none", check: () => {} },
  journald: { options: [...LINE_OPTIONS, ...CACHE_OPTIONS], unknown: asDriver("journald"), check: checkCache },
  syslog: {
    options: [...SYSLOG_OPTIONS, ...LINE_OPTIONS, ...CACHE_OPTIONS],
    unknown: asDriver("syslog"),
    check: (options) => {
      checkCache(options);
      syslogSettings(options);
    },
  },
};

/** Throws `invalid`, in Docker's words, for a driver that is not there and for options it cannot have. */
export function checkLogConfig({ Type, Config }: LogConfig): void {
  const driver = Object.hasOwn(DRIVERS, Type) ? DRIVERS[Type] : undefined;
  if (driver === undefined) {
    throw invalid(`error looking up logging plugin ${Type}: plugin "${Type}" not found`);
  }
  checkMode(Config);
  const wrong = Object.keys(Config).find((name) => !driver.options.includes(name) && !COMMON_OPTIONS.includes(name));
  if (wrong !== undefined) throw invalid(driver.unknown(wrong));
  driver.check(Config);
  checkTag(Config["tag"] ?? "");
  for (const name of ["labels-regex", "env-regex"]) checkPattern(Config[name] ?? "");
}

function checkMode(options: Options): void {
  const { mode = "blocking", "max-buffer-size": size } = options;
  if (mode !== "" && mode !== "blocking" && mode !== "non-blocking") {
    throw invalid(`logger: logging mode not supported: ${mode}`);
  }
  if (size === undefined) return;
  if (mode !== "non-blocking") {
    throw invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  }
  if (sizeOf(size) === undefined) throw invalid(`error parsing option max-buffer-size: invalid size: '${size}'`);
}

function checkPattern(pattern: string): void {
  try {
    new RegExp(pattern);
  } catch (error) {
    throw failed(`error parsing regexp: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const DEFAULT_BUFFER_BYTES = 1 << 20;

/** How much output may wait for a slow log without the container waiting; undefined where the container waits. */
export function bufferBytes({ Config }: LogConfig): number | undefined {
  if (Config["mode"] !== "non-blocking") return undefined;
  return sizeOf(Config["max-buffer-size"] ?? "") ?? DEFAULT_BUFFER_BYTES;
}

const LOCAL_MAX_BYTES = 20 << 20;
const LOCAL_MAX_FILES = 5;

/** The files of the driver `local`, and with the prefix `cache-` of the copies that others keep for `logs`. */
export function localRotation(options: Options, prefix = ""): Rotation {
  const size = options[`${prefix}max-size`] ?? "";
  const maxBytes = size === "" ? LOCAL_MAX_BYTES : sizeOf(size);
  if (maxBytes === undefined) throw failed(`invalid value for ${prefix}max-size: ${size}: invalid size: '${size}'`);
  const count = options[`${prefix}max-file`] ?? "";
  const maxFiles = count === "" ? LOCAL_MAX_FILES : wholeNumber(count);
  if (maxFiles === undefined) {
    throw failed(`invalid value for ${prefix}max-file: ${count}: strconv.Atoi: parsing "${count}": invalid syntax`);
  }
  const compress = options[`${prefix}compress`] ?? "";
  const compresses = compress === "" ? true : truth(compress);
  if (compresses === undefined) {
    throw failed(
      `error reading ${prefix}compress log option: strconv.ParseBool: parsing "${compress}": invalid syntax`,
    );
  }
  if (compresses && maxFiles <= 1 && maxBytes > 0) {
    throw failed("compression cannot be enabled when max file count is 1");
  }
  if (maxFiles < 1) throw failed("max-file cannot be less than 1");
  return {
    maxBytes: maxBytes === 0 ? Number.POSITIVE_INFINITY : maxBytes,
    maxFiles,
    ...(compresses ? { compression: "zstd" } : {}),
  };
}

/** The files of the driver `json-file`. */
export function jsonFileRotation(options: Options): Rotation {
  const size = options["max-size"] ?? "";
  const maxBytes = size === "" ? 0 : sizeOf(size);
  if (maxBytes === undefined) throw failed(`invalid size: '${size}'`);
  const count = options["max-file"] ?? "";
  const maxFiles = count === "" ? 1 : wholeNumber(count);
  if (maxFiles === undefined) throw failed(`strconv.Atoi: parsing "${count}": invalid syntax`);
  if (maxFiles < 1) throw failed("max-file cannot be less than 1");
  const compress = options["compress"] ?? "";
  const compresses = compress === "" ? false : truth(compress);
  if (compresses === undefined) throw failed(`strconv.ParseBool: parsing "${compress}": invalid syntax`);
  if (compresses && (maxFiles < 2 || maxBytes === 0)) {
    throw failed("compress cannot be true when max-file is less than 2 or max-size is not set");
  }
  return {
    maxBytes: maxBytes === 0 ? Number.POSITIVE_INFINITY : maxBytes,
    maxFiles,
    ...(compresses ? { compression: "gzip" } : {}),
  };
}

/** The copy for `logs` that a driver keeps whose own log is elsewhere; undefined when it was switched off. */
export function cacheRotation(options: Options): Rotation | undefined {
  return truth(options["cache-disabled"] ?? "") === true ? undefined : localRotation(options, "cache-");
}

function checkCache(options: Options): void {
  const disabled = options["cache-disabled"] ?? "";
  if (disabled !== "" && truth(disabled) === undefined) {
    throw failed(`error reading cache-disabled log option: strconv.ParseBool: parsing "${disabled}": invalid syntax`);
  }
  cacheRotation(options);
}

const FACILITIES = (
  "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp - - - - " +
  "local0 local1 local2 local3 local4 local5 local6 local7"
).split(" ");

export type SyslogFormat = "" | "rfc3164" | "rfc5424" | "rfc5424micro";

/** Where messages go and what they look like. */
export interface SyslogSettings {
  readonly transport: "unix" | "unixgram" | "udp" | "tcp" | "tcp+tls";
  /** Of a socket in the file system; empty for whichever the host has. */
  readonly path: string;
  readonly host: string;
  readonly port: number;
  readonly facility: number;
  readonly format: SyslogFormat;
}

const SYSLOG_PORT = 514;

/** The settings of the driver `syslog`. Throws `invalid`. */
export function syslogSettings(options: Options): SyslogSettings {
  const format = options["syslog-format"] ?? "";
  if (format !== "" && format !== "rfc3164" && format !== "rfc5424" && format !== "rfc5424micro") {
    throw invalid("Invalid syslog format");
  }
  return {
    ...syslogAddress(options["syslog-address"] ?? ""),
    facility: syslogFacility(options["syslog-facility"] ?? ""),
    format,
  };
}

function syslogFacility(text: string): number {
  if (text === "") return FACILITIES.indexOf("daemon");
  const number = /^\d{1,2}$/.test(text) ? Number(text) : FACILITIES.indexOf(text);
  if (number < 0 || number >= FACILITIES.length || text === "-") throw invalid("invalid syslog facility");
  return number;
}

function syslogAddress(address: string): Pick<SyslogSettings, "transport" | "path" | "host" | "port"> {
  if (address === "") return { transport: "unixgram", path: "", host: "", port: 0 };
  const [, transport, rest = ""] = /^(unix|unixgram|udp|tcp|tcp\+tls):\/\/(.*)$/.exec(address) ?? [];
  if (transport === "unix" || transport === "unixgram") {
    if (!rest.startsWith("/")) throw invalid(`syslog-address should be in form proto://address, got ${address}`);
    return { transport, path: rest, host: "", port: 0 };
  }
  if (transport !== "udp" && transport !== "tcp" && transport !== "tcp+tls") {
    throw invalid(`syslog-address should be in form proto://address, got ${address}`);
  }
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:/]+))(?::(\d{1,5}))?\/?$/.exec(rest) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port ?? 0) > 0xffff) {
    throw invalid(`syslog-address should be in form proto://address, got ${address}`);
  }
  return { transport, path: "", host, port: port === undefined ? SYSLOG_PORT : Number(port) };
}

const SHIFT: { readonly [unit: string]: number } = { "": 0, b: 0, k: 10, m: 20, g: 30, t: 40, p: 50 };

/** A size as go-units RAMInBytes reads it. */
function sizeOf(text: string): number | undefined {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text) ?? [];
  return digits === undefined ? undefined : Math.floor(Number(digits) * 2 ** (SHIFT[unit.toLowerCase()] ?? 0));
}

function wholeNumber(text: string): number | undefined {
  return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Go's strconv.ParseBool. */
function truth(text: string): boolean | undefined {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  return ["0", "f", "F", "FALSE", "false", "False"].includes(text) ? false : undefined;
}

function invalid(message: string): CtrError {
  return new CtrError("invalid", message);
}

function failed(reason: string): CtrError {
  return invalid(`failed to initialize logging driver: ${reason}`);
}
