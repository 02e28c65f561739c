/**
 * Docker's rules of where a copy goes (docker/cli container/cp.go, moby pkg/archive/copy.go): only text and what is known
 * of source and destination; nothing is touched.
 */
import { CtrError } from "../errors/error.ts";
import { cleanPath } from "../volume/mount-spec.ts";

/** What an operand of `cp` means: a local path, or one in a container. */
export interface CopyOperand {
  readonly container: string | undefined;
  readonly path: string;
}

/** `container:path`; what starts with `/` or `.` before the colon is local. */
export function splitOperand(text: string): CopyOperand {
  const colon = text.indexOf(":");
  if (text.startsWith("/") || text.startsWith(".") || colon < 0) return { container: undefined, path: text };
  return { container: text.slice(0, colon), path: text.slice(colon + 1) };
}

/** True for `x/` and `x/.`: it must be a directory. */
export function assertsDirectory(path: string): boolean {
  return path.endsWith("/") || endsInDot(path);
}

export function endsInDot(path: string): boolean {
  return path === "." || path.endsWith("/.");
}

/** The path from the root, cleaned, with a trailing `/` or `/.` kept. */
export function absoluteKeepingEnd(path: string, directory = "/"): string {
  const clean = cleanPath(path.startsWith("/") ? path : `${directory}/${path}`);
  if (endsInDot(path)) return clean === "/" ? "/." : `${clean}/.`;
  return path.endsWith("/") && clean !== "/" ? `${clean}/` : clean;
}

/** Directory and last element, the latter `.` for `x/.` and `/` for the root. */
export function splitEntry(path: string): { readonly directory: string; readonly base: string } {
  const clean = cleanPath(path);
  if (endsInDot(path)) return { directory: clean, base: "." };
  if (clean === "/") return { directory: "/", base: "/" };
  const slash = clean.lastIndexOf("/");
  return { directory: slash === 0 ? "/" : clean.slice(0, slash), base: clean.slice(slash + 1) };
}

/** The last element of a path as Go's filepath.Base has it: trailing slashes do not count. */
export function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, "");
  if (trimmed === "") return "/";
  return trimmed.slice(trimmed.lastIndexOf("/") + 1);
}

/**
 * The source with its links followed to `target`: the path to read, and the name its entries keep if following changed it.
 */
export function followed(path: string, target: string): { readonly path: string; readonly rename: string | undefined } {
  let resolved = target;
  if (endsInDot(path) && !endsInDot(resolved)) resolved += "/.";
  if (path.endsWith("/") && !resolved.endsWith("/")) resolved += "/";
  return { path: resolved, rename: baseName(path) === baseName(resolved) ? undefined : baseName(path) };
}

/** A destination as it was found, its own links followed. */
export interface CopyDestination {
  readonly path: string;
  readonly kind: "absent" | "directory" | "other";
}

/** Where entries go: `directory` must exist; the source's own name becomes `name`. */
export interface CopyPlan {
  readonly directory: string;
  readonly name: string;
}

/** `name` is what the source's entries are called. Throws `invalid` for what cannot be copied so. */
export function planCopy(name: string, isDirectory: boolean, destination: CopyDestination): CopyPlan {
  const { directory, base } = splitEntry(destination.path);
  if (destination.kind === "directory") return { directory: destination.path, name };
  if (destination.kind === "other") {
    if (isDirectory) throw new CtrError("invalid", "cannot copy directory");
    return { directory, name: base };
  }
  if (!isDirectory && assertsDirectory(destination.path)) throw new CtrError("not-found", "no such directory");
  return { directory, name: base };
}
