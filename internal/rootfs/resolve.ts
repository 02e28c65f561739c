/**
 * Paths inside a root file system that somebody else filled: resolved by the kernel below a descriptor of the root
 * (openat2(2), RESOLVE_IN_ROOT) and used only through the descriptor that comes out. Never joined and reopened.
 */
import { CtrError, EEXIST, EINVAL, ENOTDIR, isErrno, SyscallError } from "../errors/error.ts";
import { type Fd, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY, openat } from "../sys/fd.ts";
import { mkdirat, openat2, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, readlinkat, tryOpenat2 } from "../sys/file.ts";

/** How every path inside a root is resolved. */
export const RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

/** Opens `path` as the container would see it; links end below the root. Throws ENOENT when it is not there. */
export function openInRoot(root: number, path: string, flags = O_PATH, mode = 0): Fd {
  return openat2(root, path, { flags, mode, resolve: RESOLVE });
}

/** The same, or undefined when it is not there. */
export function tryOpenInRoot(root: number, path: string, flags = O_PATH): Fd | undefined {
  return tryOpenat2(root, path, { flags, resolve: RESOLVE });
}

/**
 * The directory `path`, made root:root with its parents where they are missing; a link to what is not there is followed,
 * and the directory made where it leads. ENOTDIR where a file is in the way.
 */
export function makeDirectoryInRoot(root: number, path: string, mode = 0o755, linksLeft = 8): Fd {
  const found = tryOpenDirectory(root, path);
  if (found !== undefined) return found;
  const [parent, name] = split(path);
  using directory = makeDirectoryInRoot(root, parent, mode, linksLeft);
  try {
    mkdirat(directory.number, name, mode);
  } catch (error) {
    if (!isErrno(error, EEXIST)) throw error;
    const target = linksLeft > 0 ? tryReadLink(directory.number, name) : undefined;
    if (target !== undefined) {
      const place = target.startsWith("/") ? target : `${parent}/${target}`;
      makeDirectoryInRoot(root, place, mode, linksLeft - 1).close();
      // Through the link again: only the kernel says where `..` in it leads.
      return openInRoot(root, path, O_PATH | O_DIRECTORY);
    }
    // Somebody else's directory, made meanwhile, is fine; anything else the open below refuses.
  }
  return openat(directory.number, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

/** Where a link leads, or undefined for what is none. */
function tryReadLink(directory: number, name: string): string | undefined {
  try {
    return new TextDecoder().decode(readlinkat(directory, name));
  } catch (error) {
    if (isErrno(error, EINVAL)) return undefined;
    throw error;
  }
}

function tryOpenDirectory(root: number, path: string): Fd | undefined {
  try {
    return tryOpenInRoot(root, path, O_PATH | O_DIRECTORY);
  } catch (error) {
    // What was wanted was a directory; how it was looked for means nothing to the user.
    if (isErrno(error, ENOTDIR)) throw new SyscallError("mkdir", ENOTDIR, path);
    throw error;
  }
}

/**
 * The file `path`, made empty with its parents where it is missing: the place for a bind mount of a file. Where it is a
 * link to what is not there (resolv.conf of many images), the file is made where the link leads.
 */
export function makeFileInRoot(root: number, path: string, linksLeft = 8): Fd {
  const found = tryOpenInRoot(root, path);
  if (found !== undefined) return found;
  const [parent, name] = split(path);
  using directory = makeDirectoryInRoot(root, parent);
  try {
    openat(directory.number, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644).close();
  } catch (error) {
    if (!isErrno(error, EEXIST) || linksLeft === 0) throw error;
    const target = new TextDecoder().decode(readlinkat(directory.number, name));
    return makeFileInRoot(root, target.startsWith("/") ? target : `${parent}/${target}`, linksLeft - 1);
  }
  return openat(directory.number, name, O_PATH | O_NOFOLLOW);
}

/** Directory and last name of a cleaned path; of "/" and of what ends in ".." there is none. */
function split(path: string): readonly [parent: string, name: string] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const name = parts.pop();
  if (name === undefined || name === "..") throw new CtrError("invalid", `${path}: not a name inside the container`);
  return [`/${parts.join("/")}`, name];
}
