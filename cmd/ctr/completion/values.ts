/** What the values of flags may be. */
import { FILES, NOTHING, type Values } from "./candidates.ts";
import type { Names } from "./operands.ts";

/** Flags whose value is a file or directory of the machine. */
const PATHS = new Set([
  "config",
  "root",
  "state",
  "cidfile",
  "env-file",
  "file",
  "iidfile",
  "input",
  "label-file",
  "output",
  "device",
]);

const BOOLEANS = ["true", "false"];

/** Flags of which every command that has them means the same. */
const FIXED: { readonly [flag: string]: readonly string[] } = {
  attach: ["stdin", "stdout", "stderr"],
  cgroupns: ["host", "private"],
  driver: ["bridge", "host", "none", "local"],
  ipc: ["none", "private", "shareable", "host", "container:"],
  "log-driver": ["json-file", "local", "none", "journald", "syslog"],
  "log-opt": ["max-size=", "max-file=", "compress=", "mode=", "max-buffer-size=", "labels=", "env=", "tag="],
  mount: ["type=bind,", "type=volume,", "type=tmpfs,"],
  pid: ["host", "container:"],
  platform: [
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/386",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
  ],
  pull: ["always", "missing", "never"],
  restart: ["no", "always", "on-failure", "on-failure:", "unless-stopped"],
  secret: ["id="],
  "security-opt": ["apparmor=", "label=", "no-new-privileges", "seccomp=", "systempaths=unconfined"],
  "storage-driver": ["overlay", "vfs", "btrfs"],
  ulimit: [
    "core=",
    "cpu=",
    "data=",
    "fsize=",
    "locks=",
    "memlock=",
    "msgqueue=",
    "nice=",
    "nofile=",
    "nproc=",
    "rss=",
    "rtprio=",
    "rttime=",
    "sigpending=",
    "stack=",
  ],
  userns: ["auto", "host", "keep-id", "private", "remap"],
  uts: ["host"],
};

/** Keys of `--filter` by command, and what is known of their values. */
const FILTERS: { readonly [command: string]: readonly string[] } = {
  ps: [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
  ],
  images: ["before", "dangling", "label", "reference", "since", "until"],
  events: ["container", "daemon", "event", "image", "label", "network", "scope", "type", "volume"],
  prune: ["label", "label!", "until"],
  search: ["is-official", "stars"],
  "network ls": ["dangling", "driver", "id", "label", "name", "scope", "type"],
  "volume ls": ["dangling", "driver", "label", "name"],
};

/** The candidates for the value of a flag. */
export async function valuesOf(path: readonly string[], flag: string, typed: string, names: Names): Promise<Values> {
  if (PATHS.has(flag)) return FILES;
  const fixed = Object.hasOwn(FIXED, flag) ? FIXED[flag] : undefined;
  switch (flag) {
    case "filter":
      return filters(path, typed, names);
    case "format":
      return { words: path.at(-1) === "inspect" || path.at(-1) === "version" ? ["json"] : ["json", "table"] };
    case "type":
      return { words: ["container", "image", "network", "volume"] };
    case "network":
    case "net":
      if (typed.startsWith("container:")) return { words: names.containers().map((name) => `container:${name}`) };
      return { words: [...new Set(["bridge", "host", "none", ...names.networks()]), "container:"] };
    case "volumes-from":
    case "link":
      return { words: names.containers() };
    case "volume":
      return { words: names.volumes().map((name) => `${name}:`), mayBeFile: true, isUnfinished: true };
    case "env":
      return { words: Object.keys(process.env).sort() };
    case "signal":
    case "stop-signal":
      return { words: await signals() };
    case "arch":
      return { words: (await import("../../../internal/security/seccomp/explain.ts")).ARCHITECTURE_WORDS };
    case "profile":
      return { words: ["builtin", "unconfined"], mayBeFile: true };
    case "cap-add":
    case "cap-drop":
      return { words: ["ALL", ...(await import("../../../internal/security/capabilities.ts")).CAPABILITIES] };
    default:
      break;
  }
  if (fixed === undefined) return NOTHING;
  if ((flag === "pid" || flag === "ipc") && typed.startsWith("container:")) {
    return { words: names.containers().map((name) => `container:${name}`) };
  }
  const fit = fixed.filter((word) => word.startsWith(typed));
  return { words: fixed, isUnfinished: fit.length > 0 && fit.every((word) => /[=:,]$/.test(word)) };
}

async function signals(): Promise<readonly string[]> {
  const { signalName } = await import("../../../internal/sys/signals.ts");
  return Array.from({ length: 31 }, (_, index) => signalName(index + 1).replace(/^SIG/, ""));
}

function filters(path: readonly string[], typed: string, names: Names): Values {
  const verb = path.at(-1) ?? "";
  const isContainerList = verb === "ps" || (path[0] === "container" && (verb === "ls" || verb === "list"));
  const isImageList = verb === "images" || (path[0] === "image" && (verb === "ls" || verb === "list"));
  const command = isContainerList ? "ps" : isImageList ? "images" : verb === "prune" ? "prune" : path.join(" ");
  const keys = FILTERS[command] ?? FILTERS[verb] ?? [];
  const equals = typed.indexOf("=");
  if (equals < 0) return { words: keys.map((key) => `${key}=`), isUnfinished: true };
  const key = typed.slice(0, equals);
  return { words: filterValues(command, key, names).map((value) => `${key}=${value}`) };
}

function filterValues(command: string, key: string, names: Names): readonly string[] {
  switch (key) {
    case "status":
      return ["created", "dead", "exited", "paused", "restarting", "running", "removing"];
    case "health":
      return ["healthy", "none", "starting", "unhealthy"];
    case "dangling":
    case "is-official":
      return BOOLEANS;
    case "ancestor":
    case "image":
      return names.images();
    case "before":
    case "since":
      return command === "images" ? names.images() : names.containers();
    case "container":
      return names.containers();
    case "name":
      return command === "ps" ? names.containers() : command === "volume ls" ? names.volumes() : names.networks();
    case "network":
      return names.networks();
    case "volume":
      return names.volumes();
    case "type":
      return command === "events" ? ["container", "daemon", "image", "network", "volume"] : ["builtin", "custom"];
    case "scope":
      return ["local"];
    default:
      return [];
  }
}
