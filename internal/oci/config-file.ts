/** A bundle's config.json before its fields are looked at (runtime-spec bundle.md): init may be started with no more. */
import { CtrError, ENOENT, isErrno, SyscallError, withContext } from "../errors/error.ts";
import { parseJson } from "../spec/json.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, readText } from "../sys/file.ts";

const MAX_CONFIG_BYTES = 16 << 20;

/** The document of a bundle (an absolute path). Throws `not-found` without one. */
export function readConfigFile(bundle: string): unknown {
  try {
    return documentOf(readText(`${bundle}/config.json`, MAX_CONFIG_BYTES));
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
    // runc's words.
    if (!exists(AT_FDCWD, bundle)) throw new SyscallError("chdir", ENOENT, bundle);
    throw new CtrError("not-found", "JSON specification file config.json not found", { cause: error });
  }
}

/** The document in a text. */
export function documentOf(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw withContext("config.json", error);
  }
}

/** A configuration may be without a program, as long as none is to be started. */
export function noProcess(): CtrError {
  return new CtrError("invalid", "process property must not be empty");
}

/** A path of the configuration's, which is relative to the bundle. */
export function inBundle(bundle: string, path: string): string {
  return path.startsWith("/") ? path : `${bundle}/${path}`;
}

const DEFAULT_PARENT = "/ctr-oci";

/** `linux.cgroupsPath` where cgroups are made by their paths. */
export function plainCgroupsPath(path: string | undefined, id: string): string {
  if (path === undefined || path === "") return `${DEFAULT_PARENT}/${id}`;
  return path.startsWith("/") ? path : `/${path}`;
}
