/** `--format` of `inspect`, `version` and `info`: a template over one JSON object. */
import { CtrError } from "../../../internal/errors/error.ts";
import { safeJson } from "./safe.ts";
import { compileTemplate, MissingField } from "./template.ts";
import { EMPTY_STRUCT, NIL_LIST, NIL_MAP, NIL_POINTER } from "./template-functions.ts";

/** Fields that are maps with keys of the user's choosing: a missing key is no error there, as with Go's maps. */
const MAPS = new Set([
  "Labels",
  "Sysctls",
  "Tmpfs",
  "Options",
  "DriverOpts",
  "Annotations",
  "ExposedPorts",
  "Volumes",
  "PortBindings",
  "Ports",
]);
/** Null fields that are pointers in Docker; other nulls are lists, but for the maps above. */
const POINTERS = new Set([
  "PidsLimit",
  "MemorySwappiness",
  "OomKillDisable",
  "Init",
  "Health",
  "Healthcheck",
  "IPAMConfig",
]);

/** Sets, which Docker keeps as maps to an empty struct. */
const SETS = new Set(["ExposedPorts", "Volumes"]);
/** Fields that JSON leaves out when they are empty, and what Docker's types have there then. */
const OPTIONAL: { readonly [field: string]: unknown } = {
  Annotations: NIL_MAP,
  ArgsEscaped: false,
  Driver: "",
  ExposedPorts: NIL_MAP,
  Health: NIL_POINTER,
  Healthcheck: NIL_POINTER,
  Init: NIL_POINTER,
  MacAddress: "",
  Mounts: NIL_LIST,
  Name: "",
  NetworkDisabled: false,
  OsVersion: "",
  Shell: NIL_LIST,
  SizeRootFs: NIL_POINTER,
  SizeRw: NIL_POINTER,
  StopSignal: "",
  StopTimeout: NIL_POINTER,
  StorageOpt: NIL_MAP,
  Sysctls: NIL_MAP,
  Tmpfs: NIL_MAP,
  Variant: "",
};

/** Fields whose name in Docker's Go types, which templates may use too, is not the one in its JSON. */
const GO_NAMES: { readonly [name: string]: string } = {
  CPUCount: "CpuCount",
  CPUPercent: "CpuPercent",
  CPUPeriod: "CpuPeriod",
  CPUQuota: "CpuQuota",
  CPURealtimePeriod: "CpuRealtimePeriod",
  CPURealtimeRuntime: "CpuRealtimeRuntime",
  CPUShares: "CpuShares",
  DNS: "Dns",
  DNSOptions: "DnsOptions",
  DNSSearch: "DnsSearch",
  HostIP: "HostIp",
  ID: "Id",
  NanoCPUs: "NanoCpus",
};

/**
 * Compiles a format for objects: `json`, or a template. `type` is Docker's name of the whole, for the error about a
 * field it does not have. Throws CtrError for a format that cannot be parsed.
 */
export function compileObjectFormat(format: string, type?: string): (object: object) => string {
  if (format === "json") return (object) => safeJson(sortedMaps(object));
  const render = compile(format, type);
  return (object) => {
    try {
      return render(withAbsent(withGoNulls(sortedMaps(object))));
    } catch (error) {
      if (!(error instanceof CtrError) || error.message.startsWith("template parsing error")) throw error;
      throw new CtrError(error.kind, `template parsing error: ${error.message}`, { cause: error });
    }
  };
}

function compile(format: string, type: string | undefined): (data: unknown) => string {
  try {
    return compileTemplate(format, {
      isUntyped: true,
      missing: (parent, name, of) => {
        const key = Object.hasOwn(GO_NAMES, name) ? GO_NAMES[name] : undefined;
        const field = Object.entries(of).find(([known]) => known === key);
        if (field !== undefined) return field[1];
        if (parent !== undefined && MAPS.has(parent)) return undefined;
        if (parent !== undefined && Object.hasOwn(OPTIONAL, name)) return OPTIONAL[name];
        if (type !== undefined && parent === undefined)
          return new MissingField(`can't evaluate field ${name} in type ${type}`);
        return new MissingField(`map has no entry for key "${name}"`);
      },
    });
  } catch (error) {
    // Docker's status for a format that does not parse
    throw error instanceof CtrError ? new CtrError(error.kind, error.message, { cause: error, exitStatus: 64 }) : error;
  }
}

/** Fields of the whole that JSON leaves out, by a field that only this kind of object has. */
const ABSENT: { readonly [field: string]: { readonly [field: string]: unknown } } = {
  RepoTags: { Variant: "", OsVersion: "" },
  HostConfig: { SizeRw: NIL_POINTER, SizeRootFs: NIL_POINTER },
};

/** With the fields that Docker's type has beside those that are there: a template may name them, `json` shows none. */
function withAbsent(object: unknown): unknown {
  if (typeof object !== "object" || object === null) return object;
  for (const [field, absent] of Object.entries(ABSENT)) {
    if (!Object.hasOwn(object, field)) continue;
    for (const [name, value] of Object.entries(absent))
      if (!Object.hasOwn(object, name)) Object.defineProperty(object, name, { value, enumerable: false });
  }
  return object;
}

/** The object with its nulls replaced by what Docker's types have there: it decides how they are printed. */
function withGoNulls(value: unknown, name = ""): unknown {
  if (value === null) return POINTERS.has(name) ? NIL_POINTER : MAPS.has(name) ? NIL_MAP : NIL_LIST;
  if (Array.isArray(value)) return value.map((element) => withGoNulls(element));
  if (typeof value !== "object") return value;
  const isSet = SETS.has(name);
  // Not by assignment: a label may be called __proto__.
  return Object.fromEntries(
    Object.entries(value).map(([key, element]) => [key, isSet ? EMPTY_STRUCT : withGoNulls(element, key)]),
  );
}

/** The object with the keys of its maps in order, as Go writes them; structs keep theirs. */
export function sortedMaps(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) return value.map((element) => sortedMaps(element));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  if (MAPS.has(name)) entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, element]) => [key, sortedMaps(element, key)]));
}
