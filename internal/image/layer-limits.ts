/**
 * What a layer may hold at most: `[layer-limits]` of `/etc/ctr/engine.toml`, or of the file that CTR_CONFIG names. It is
 * read here, and not with the rest of that file, because only what unpacks layers needs it.
 */
import type { Engine } from "../db/engine.ts";
import { CtrError, ENOENT, ENOTDIR, isErrno, withContext } from "../errors/error.ts";
import { DEFAULT_LIMITS, type LayerLimits } from "../spec/layer-entry.ts";
import { readText } from "../sys/file.ts";

const CONFIG_PATH = "/etc/ctr/engine.toml";

interface Limit {
  readonly name: keyof LayerLimits;
  /** What the kernel, or our memory, takes no more than. */
  readonly most: number;
}

const KEYS: { readonly [key: string]: Limit } = {
  entries: { name: "entries", most: Number.MAX_SAFE_INTEGER },
  "unpacked-bytes": { name: "unpackedBytes", most: Number.MAX_SAFE_INTEGER },
  "path-bytes": { name: "pathBytes", most: 4096 },
  "xattr-bytes": { name: "xattrBytes", most: 65_536 },
  xattrs: { name: "xattrs", most: 65_536 },
  "header-bytes": { name: "paxBytes", most: 64 << 20 },
};

/** The limits for this engine. Throws CtrError `invalid` with the file and the key for what is no limit. */
export function layerLimits(engine: Engine): LayerLimits {
  const path = engine.config ?? CONFIG_PATH;
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    if (engine.config === undefined && isErrno(error, ENOENT, ENOTDIR)) return DEFAULT_LIMITS;
    throw withContext("engine configuration", error);
  }
  return parseLayerLimits(text, path);
}

/** The limits a file's text sets, and the usual ones for what it does not set; `path` is named in errors. */
export function parseLayerLimits(text: string, path: string): LayerLimits {
  const wrong = (key: string, what: string) => new CtrError("invalid", `${path}: layer-limits.${key} ${what}`);
  let file: unknown;
  try {
    file = Bun.TOML.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^TOML Parse error: /, "") : String(error);
    throw new CtrError("invalid", `${path}: ${reason}`, { cause: error });
  }
  const section = isTable(file) ? file["layer-limits"] : undefined;
  if (section === undefined) return DEFAULT_LIMITS;
  if (!isTable(section)) throw new CtrError("invalid", `${path}: layer-limits is not a table`);
  const limits: { -readonly [Key in keyof LayerLimits]: LayerLimits[Key] } = { ...DEFAULT_LIMITS };
  for (const [key, value] of Object.entries(section)) {
    const limit = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    if (limit === undefined) throw wrong(key, "is no limit of layers");
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1 || value > limit.most)
      throw wrong(key, `is no number from 1 to ${limit.most}`);
    limits[limit.name] = value;
  }
  return limits;
}

function isTable(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
