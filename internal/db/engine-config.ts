/**
 * What the administrator set for this engine: `/etc/ctr/engine.toml`, or the file that CTR_CONFIG names, which must be
 * there. The keys are those of Docker's daemon.json.
 *
 *   log-driver = "json-file"
 *   cgroup-parent = "/apps"
 *   exec-opts = ["native.cgroupdriver=systemd"]
 *   storage-driver = "overlay"
 *   max-concurrent-downloads = 3
 *   max-concurrent-uploads = 5
 *   userns-remap = "default"
 *   userns-auto-user = "containers"
 *   [log-opts]
 *   max-size = "10m"
 *   [layer-limits]
 *   unpacked-bytes = 10000000000
 */
import { CtrError, ENOENT, ENOTDIR, isErrno, withContext } from "../errors/error.ts";
import { DEFAULT_LIMITS, type LayerLimits } from "../spec/layer-entry.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, readText } from "../sys/file.ts";

const CONFIG_PATH = "/etc/ctr/engine.toml";

/** The settings; absent ones are undefined. */
export interface EngineConfig {
  readonly logDriver?: string;
  readonly logOpts?: { readonly [name: string]: string };
  readonly cgroupParent?: string;
  /** As `--storage-driver`, unchecked; see storage-driver.ts. */
  readonly storageDriver?: string;
  /** `cgroupfs`, `systemd` or `auto`; see cgroup-place.ts. */
  readonly cgroupDriver?: string;
  /** Layers that are pulled, and pushed, at a time. */
  readonly maxDownloads?: number;
  readonly maxUploads?: number;
  /** Containers are remapped unless they say otherwise: `user[:group]` or `default`; see internal/container/userns-mode.ts. */
  readonly usernsRemap?: string;
  /** Whose subordinate ids `--userns=auto` takes. */
  readonly usernsAutoUser?: string;
  /** What a layer may hold at most. */
  readonly layerLimits?: LayerLimits;
}

/** Reads the file. Throws `invalid` with its name and the key for anything it does not know. */
export function loadEngineConfig(variables: { readonly [name: string]: string | undefined }): EngineConfig {
  const chosen = variables["CTR_CONFIG"];
  const path = chosen === undefined || chosen === "" ? CONFIG_PATH : chosen;
  // Most often there is none.
  if (path === CONFIG_PATH && !exists(AT_FDCWD, path)) return {};
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    if (path === CONFIG_PATH && isErrno(error, ENOENT, ENOTDIR)) return {};
    throw withContext("engine configuration", error);
  }
  return parseEngineConfig(text, path);
}

/** The settings of a file's text; `path` is named in errors. */
export function parseEngineConfig(text: string, path: string): EngineConfig {
  let file: unknown;
  try {
    file = Bun.TOML.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^TOML Parse error: /, "") : String(error);
    throw new CtrError("invalid", `${path}: ${reason}`, { cause: error });
  }
  const wrong = (key: string, what: string) => new CtrError("invalid", `${path}: ${key} ${what}`);
  const config: { -readonly [Key in keyof EngineConfig]: EngineConfig[Key] } = {};
  for (const [key, value] of Object.entries(isTable(file) ? file : {})) {
    if (key === "log-driver") {
      if (typeof value !== "string") throw wrong(key, "is not a string");
      config.logDriver = value;
    } else if (key === "log-opts") {
      if (!isTable(value)) throw wrong(key, "is not a table");
      config.logOpts = Object.fromEntries(
        Object.entries(value).map(([name, option]) => {
          if (typeof option !== "string") throw wrong(`log-opts.${name}`, 'is not a string ("10m")');
          return [name, option];
        }),
      );
    } else if (key === "storage-driver") {
      if (typeof value !== "string") throw wrong(key, "is not a string");
      config.storageDriver = value;
    } else if (key === "userns-remap" || key === "userns-auto-user") {
      if (typeof value !== "string") throw wrong(key, "is not a string");
      // Docker's way to say none.
      if (value !== "") config[key === "userns-remap" ? "usernsRemap" : "usernsAutoUser"] = value;
    } else if (key === "cgroup-parent") {
      if (typeof value !== "string") throw wrong(key, "is not a string");
      config.cgroupParent = value;
    } else if (key === "exec-opts") {
      for (const option of Array.isArray(value) ? value : [value]) {
        const [, driver] = /^native\.cgroupdriver=(cgroupfs|systemd|auto)$/.exec(String(option)) ?? [];
        if (driver === undefined) throw wrong(key, `has an option that is none: ${String(option)}`);
        config.cgroupDriver = driver;
      }
    } else if (key === "max-concurrent-downloads" || key === "max-concurrent-uploads") {
      if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
        throw wrong(key, "is no number from 1");
      config[key === "max-concurrent-downloads" ? "maxDownloads" : "maxUploads"] = value;
    } else if (key === "layer-limits") {
      if (!isTable(value)) throw wrong(key, "is not a table");
      config.layerLimits = layerLimits(value, wrong);
    } else throw wrong(key, "is not a setting of the engine");
  }
  return config;
}

interface Limit {
  readonly name: keyof LayerLimits;
  /** What the kernel, or our memory, takes no more than. */
  readonly most: number;
}

const LIMITS: { readonly [key: string]: Limit } = {
  entries: { name: "entries", most: Number.MAX_SAFE_INTEGER },
  "unpacked-bytes": { name: "unpackedBytes", most: Number.MAX_SAFE_INTEGER },
  "path-bytes": { name: "pathBytes", most: 4096 },
  "xattr-bytes": { name: "xattrBytes", most: 65_536 },
  xattrs: { name: "xattrs", most: 65_536 },
  "header-bytes": { name: "paxBytes", most: 64 << 20 },
};

/** The limits a table sets, and the usual ones for what it does not set. */
function layerLimits(
  table: { readonly [key: string]: unknown },
  wrong: (key: string, what: string) => CtrError,
): LayerLimits {
  const limits: { -readonly [Key in keyof LayerLimits]: LayerLimits[Key] } = { ...DEFAULT_LIMITS };
  for (const [key, value] of Object.entries(table)) {
    const limit = Object.hasOwn(LIMITS, key) ? LIMITS[key] : undefined;
    if (limit === undefined) throw wrong(`layer-limits.${key}`, "is no limit of layers");
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1 || value > limit.most)
      throw wrong(`layer-limits.${key}`, `is no number from 1 to ${limit.most}`);
    limits[limit.name] = value;
  }
  return limits;
}

function isTable(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
