/** `--format` of `inspect`, `version` and `info`: a template over one JSON object. */
import { CtrError } from "../../../internal/errors/error.ts";
import { compileTemplate, MissingField } from "./template.ts";
import { NIL_LIST, NIL_MAP, NIL_POINTER } from "./template-functions.ts";

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

/** Compiles a format for objects: `json`, or a template. Throws CtrError for one that cannot be parsed. */
export function compileObjectFormat(format: string): (object: object) => string {
  if (format === "json") return (object) => JSON.stringify(object);
  const render = compile(format);
  return (object) => {
    try {
      return render(withGoNulls(object));
    } catch (error) {
      if (!(error instanceof CtrError) || error.message.startsWith("template parsing error")) throw error;
      throw new CtrError(error.kind, `template parsing error: ${error.message}`, { cause: error });
    }
  };
}

function compile(format: string): (data: unknown) => string {
  try {
    return compileTemplate(format, {
      missing: (parent, name) =>
        parent !== undefined && MAPS.has(parent) ? undefined : new MissingField(`map has no entry for key "${name}"`),
    });
  } catch (error) {
    // Docker's status for a format that does not parse
    throw error instanceof CtrError ? new CtrError(error.kind, error.message, { cause: error, exitStatus: 64 }) : error;
  }
}

/** The object with its nulls replaced by what Docker's types have there: it decides how they are printed. */
function withGoNulls(value: unknown, name = ""): unknown {
  if (value === null) return POINTERS.has(name) ? NIL_POINTER : MAPS.has(name) ? NIL_MAP : NIL_LIST;
  if (Array.isArray(value)) return value.map((element) => withGoNulls(element));
  if (typeof value !== "object") return value;
  const copy: { [key: string]: unknown } = {};
  for (const [key, element] of Object.entries(value)) copy[key] = withGoNulls(element, key);
  return copy;
}
