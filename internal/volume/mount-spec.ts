/** `-v` and `--tmpfs` (moby volume/mounts, linux_parser.go): what is to be mounted, checked as far as text can be. */
import { CtrError } from "../errors/error.ts";
import type { MountExtras, WantedVolume } from "./mount-point.ts";

/** A wanted mount. A volume without a name is an anonymous one. */
export interface WantedMount {
  readonly type: "bind" | "volume" | "tmpfs";
  /** A volume's name. */
  readonly name?: string;
  /** A bind's host path. */
  readonly source?: string;
  readonly destination: string;
  /** The options as written. */
  readonly mode: string;
  readonly isReadonly: boolean;
  /** Of a bind: `rprivate` unless asked for otherwise. */
  readonly propagation: string;
  /** An empty volume takes the image's content. */
  readonly copiesUp: boolean;
  /** What only `--mount` can say. */
  readonly extras?: MountExtras;
  /** How a volume is made that does not exist yet. */
  readonly volume?: WantedVolume;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const READ_WRITE = ["ro", "rw"];
/** Podman's. */
const IDMAP = "idmap";
const LABELS = ["z", "Z"];
export const PROPAGATION: readonly string[] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
const CONSISTENCY = ["consistent", "cached", "delegated"];

/** `[source:]destination[:options]`; a source that starts with `.` lies below `directory`. Throws `invalid`. */
export function parseBind(spec: string, directory: string): WantedMount {
  const parts = spec.split(":");
  if (parts.length > 3 || parts.some((part) => part === "")) throw invalid(spec);
  const [first = "", second, third] = parts;
  if (second === undefined) {
    return { ...anonymous(checkDestination(spec, "volume", first)) };
  }
  if (third === undefined && isMode(second)) throw invalid(spec);
  const mode = third ?? "";
  if (!isMode(mode)) throw new CtrError("invalid", `invalid mode: ${mode}`);
  const words = mode.split(",");
  const type = first.startsWith("/") || first.startsWith(".") || first === "~" ? "bind" : "volume";
  const destination = checkDestination(spec, type, second);
  const common = { type, destination, mode, isReadonly: words.includes("ro") } as const;
  if (type === "bind") {
    if (words.includes("nocopy")) throw notSpecified(spec, type, "VolumeOptions");
    const source = cleanPath(first.startsWith("/") ? first : `${directory}/${first}`);
    const propagation = words.find((word) => PROPAGATION.includes(word)) ?? "rprivate";
    const extras = words.includes(IDMAP) ? { extras: { idmap: true } as const } : {};
    return { ...common, source, propagation, copiesUp: false, ...extras };
  }
  if (words.some((word) => PROPAGATION.includes(word))) {
    throw notSpecified(spec, type, "BindOptions");
  }
  return { ...common, name: checkVolumeName(first), propagation: "", copiesUp: !words.includes("nocopy") };
}

/** An anonymous volume, as `-v /x` and an image's VOLUME ask for. */
export function anonymous(destination: string): WantedMount {
  return { type: "volume", destination, mode: "", isReadonly: false, propagation: "", copiesUp: true };
}

/** The destination of an image's VOLUME. Throws `invalid`. */
export function parseImageVolume(path: string): WantedMount {
  return anonymous(checkDestination(path, "volume", path));
}

/** At most one word of each kind. */
function isMode(mode: string): boolean {
  if (mode === "") return true;
  const seen = new Set<readonly string[]>();
  for (const word of mode.split(",")) {
    const key = KINDS.find((words) => words.includes(word));
    if (key === undefined || seen.has(key)) return false;
    seen.add(key);
  }
  return true;
}

const KINDS: readonly (readonly string[])[] = [READ_WRITE, LABELS, PROPAGATION, CONSISTENCY, ["nocopy"], [IDMAP]];

/** Volumes are named by this pattern. Throws `invalid`. */
export function checkVolumeName(name: string): string {
  if (name.length === 1) {
    throw new CtrError(
      "invalid",
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
    );
  }
  if (!NAME.test(name)) {
    throw new CtrError(
      "invalid",
      `create ${name}: ${JSON.stringify(name)} includes invalid characters for a local volume name, ` +
        'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ' +
        "If you intended to pass a host directory, use absolute path",
    );
  }
  return name;
}

function checkDestination(spec: string, type: string, destination: string): string {
  const why = destinationProblem(destination);
  if (why !== undefined) throw invalid(spec, `invalid mount config for type "${type}": ${why}`);
  return cleanPath(destination);
}

/** Why nothing can be mounted there, or undefined. */
export function destinationProblem(destination: string): string | undefined {
  if (!destination.startsWith("/")) return `invalid mount path: '${destination}' mount path must be absolute`;
  if (destination.includes("\0")) return "invalid mount path: it contains a NUL byte";
  if (cleanPath(destination) === "/") return "invalid specification: destination can't be '/'";
  return undefined;
}

function notSpecified(spec: string, type: string, field: string): CtrError {
  return invalid(spec, `invalid mount config for type "${type}": field ${field} must not be specified`);
}

function invalid(spec: string, why?: string): CtrError {
  return new CtrError("invalid", `invalid volume specification: '${spec}'${why === undefined ? "" : `: ${why}`}`);
}

/** An absolute path without `.`, `..` and doubled slashes: only text, links are not looked at. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** A tmpfs: where, and the words of its options. */
export interface WantedTmpfs {
  readonly destination: string;
  readonly options: string;
}

const TMPFS_FLAGS = [
  "ro rw exec noexec dev nodev suid nosuid atime noatime diratime nodiratime relatime norelatime strictatime",
  "nostrictatime sync async dirsync remount mand nomand private rprivate slave rslave shared rshared unbindable",
  "runbindable bind rbind",
]
  .join(" ")
  .split(" ");
const TMPFS_VALUES = ["mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"];

/** `destination[:options]` of `--tmpfs`. Throws `invalid`. */
export function parseTmpfs(spec: string): WantedTmpfs {
  const colon = spec.indexOf(":");
  const destination = colon < 0 ? spec : spec.slice(0, colon);
  const options = colon < 0 ? "" : spec.slice(colon + 1);
  const where = checkDestination(spec, "tmpfs", destination);
  for (const word of options === "" ? [] : options.split(",")) {
    const equals = word.indexOf("=");
    const isKnown = equals < 0 ? TMPFS_FLAGS.includes(word) : TMPFS_VALUES.includes(word.slice(0, equals));
    if (!isKnown) throw new CtrError("invalid", `invalid tmpfs option [${JSON.stringify(word)}]`);
  }
  return { destination: where, options };
}
