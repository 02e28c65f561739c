/** The flags about namespaces and the kernel's settings in them, as HostConfig has them. */
import { CtrError } from "../errors/error.ts";
import { OptionError } from "./option-error.ts";
import type { HostConfig } from "./record.ts";
import { parseInteger } from "./units.ts";

export interface NamespaceFlags {
  readonly annotation: readonly string[];
  readonly cgroupns: string | undefined;
  readonly hostname: string | undefined;
  readonly domainname: string | undefined;
  readonly ipc: string | undefined;
  readonly "oom-score-adj": string | undefined;
  readonly pid: string | undefined;
  readonly runtime: string | undefined;
  readonly "storage-opt": readonly string[];
  readonly sysctl: readonly string[];
  readonly uts: string | undefined;
}

type NamespaceConfig = Pick<
  HostConfig,
  "Annotations" | "CgroupnsMode" | "IpcMode" | "OomScoreAdj" | "PidMode" | "Runtime" | "Sysctls" | "UTSMode"
>;

/** Reads them; only what was said. Throws OptionError, or `invalid` for what the engine refuses. */
export function readNamespaces(flags: NamespaceFlags, network: string): NamespaceConfig {
  const ipc = mode(flags.ipc, "ipc", "IPC", ["none", "private", "shareable", "host"], true);
  const pid = mode(flags.pid, "pid", "PID", ["host"], true);
  const uts = mode(flags.uts, "uts", "UTS", ["host"], false);
  const cgroupns = mode(flags.cgroupns, "cgroupns", "CGROUP", ["host", "private"], false);
  if (uts === "host" && ((flags.hostname ?? "") !== "" || (flags.domainname ?? "") !== "")) {
    throw new CtrError("invalid", "conflicting options: hostname and the UTS mode");
  }
  checkRuntime(flags.runtime);
  if (flags["storage-opt"].length > 0) {
    throw new CtrError("unsupported", "--storage-opt: no storage driver here limits the size of a container");
  }
  const score = oomScore(flags["oom-score-adj"]);
  return {
    ...(flags.annotation.length === 0 ? {} : { Annotations: Object.fromEntries(flags.annotation.map(annotation)) }),
    ...(cgroupns === "host" || cgroupns === "private" ? { CgroupnsMode: cgroupns } : {}),
    ...(ipc === undefined ? {} : { IpcMode: ipc }),
    ...(score === 0 ? {} : { OomScoreAdj: score }),
    ...(pid === undefined ? {} : { PidMode: pid }),
    ...(flags.sysctl.length === 0
      ? {}
      : { Sysctls: Object.fromEntries(flags.sysctl.map((text) => sysctl(text, network, ipc))) }),
    ...(uts === "host" ? { UTSMode: uts } : {}),
  };
}

function mode(
  text: string | undefined,
  flag: string,
  kind: string,
  words: readonly string[],
  mayShare: boolean,
): string | undefined {
  if (text === undefined || text === "") return undefined;
  if (words.includes(text) || (mayShare && /^container:./.test(text))) return text;
  throw new OptionError(`--${flag}: invalid ${kind} mode`);
}

const OWN_RUNTIME = "ctr";

function checkRuntime(name: string | undefined): void {
  if (name === undefined || name === "" || name === OWN_RUNTIME) return;
  throw new CtrError("invalid", `unknown or invalid runtime name: ${name}`);
}

function oomScore(text: string | undefined): number {
  const score = text === undefined || text === "" ? 0 : parseInteger("oom-score-adj", text);
  if (score < -1000 || score > 1000) {
    throw new CtrError("invalid", `Invalid value ${score}, range for oom score adj is [-1000, 1000]`);
  }
  return score;
}

/** Names that begin so are between the supervisor and init. */
const RESERVED = "ctr.";

function annotation(text: string): readonly [string, string] {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  if (key === "")
    throw new OptionError(`invalid argument ${JSON.stringify(text)} for "--annotation" flag: an empty name`);
  if (key.startsWith(RESERVED))
    throw new CtrError("invalid", `annotation ${key}: names that begin with ${RESERVED} are ctr's`);
  return [key, equals < 0 ? "" : text.slice(equals + 1)];
}

/** What belongs to a namespace of the container's: everything else would change the host. */
const IPC_SYSCTLS = [
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
];

function sysctl(text: string, network: string, ipc: string | undefined): readonly [string, string] {
  const equals = text.indexOf("=");
  const name = (equals < 0 ? text : text.slice(0, equals)).replaceAll("/", ".");
  const refused = (why: string) => new CtrError("invalid", `sysctl '${name}' not allowed in ${why} namespace`);
  const isIpc = IPC_SYSCTLS.includes(name) || name.startsWith("fs.mqueue.");
  const isNetwork = name.startsWith("net.");
  if (equals < 0 || (!isIpc && !isNetwork)) throw new OptionError(`sysctl '${text}' is not allowed`);
  if (isNetwork && network === "host") throw refused("host network");
  if (isIpc && ipc === "host") throw refused("host ipc");
  // With a slash: a dot may be part of an interface's name.
  return [equals < 0 ? text : text.slice(0, equals), text.slice(equals + 1)];
}
