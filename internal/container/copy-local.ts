/** The host's side of `cp`: where it comes from, and where it may go. */
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import { AT_FDCWD, type Fd, O_DIRECTORY, O_PATH, O_RDONLY, open } from "../sys/fd.ts";
import { readlinkat, S_IFBLK, S_IFCHR, S_IFLNK, S_IFMT, type Stat, statx } from "../sys/file.ts";
import {
  absoluteKeepingEnd,
  assertsDirectory,
  baseName,
  type CopyDestination,
  endsInDot,
  splitEntry,
} from "./copy-path.ts";
import { isDirectory } from "./copy-view.ts";

/** What no copy may replace: docker/cli command.ValidateOutputPathFileMode. */
export function specialKind({ mode }: Stat): string | undefined {
  const kind = mode & S_IFMT;
  if (kind === S_IFCHR || kind === S_IFBLK) return "device";
  return undefined;
}

/** docker/cli command.ValidateOutputPath: the parent must be there, and the path no device. */
export function checkOutput(path: string): void {
  const { directory } = splitEntry(path.replace(/\/\.?$/, "") || "/");
  if (tryStat(directory) === undefined) {
    throw new CtrError("not-found", `invalid output path: directory ${JSON.stringify(directory)} does not exist`);
  }
  const stat = tryStat(path);
  const special = stat === undefined ? undefined : specialKind(stat);
  if (special !== undefined) {
    const why = `must be a directory or a regular file: got a ${special}`;
    throw new CtrError("invalid", `invalid output path: ${JSON.stringify(path)} ${why}`);
  }
}

/** What is at the path, links followed; undefined when it is not there. */
function tryStat(path: string): Stat | undefined {
  try {
    return statx(AT_FDCWD, path, 0);
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

const MAX_LINKS = 10;

/** A destination on the host; a link as its last element is followed, also to what is not there. */
export function localDestination(path: string): CopyDestination {
  let at = path;
  for (let links = 0; ; links++) {
    const stat = tryLstat(at);
    if (stat === undefined) {
      const parent = statx(AT_FDCWD, splitEntry(at).directory, 0);
      if (!isDirectory(parent)) throw new CtrError("invalid", "not a directory");
      return { path: at, kind: "absent" };
    }
    if ((stat.mode & S_IFMT) !== S_IFLNK) return { path: at, kind: isDirectory(stat) ? "directory" : "other" };
    if (links > MAX_LINKS) throw new CtrError("invalid", `too many symlinks in ${path}`);
    const target = new TextDecoder().decode(readlinkat(AT_FDCWD, at));
    at = target.startsWith("/") ? target : absoluteKeepingEnd(target, splitEntry(at).directory);
  }
}

function tryLstat(path: string): Stat | undefined {
  try {
    return statx(AT_FDCWD, path);
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

export interface LocalSource {
  readonly parent: Fd;
  /** Empty: the directory itself. */
  readonly entry: Uint8Array;
  readonly name: string;
  readonly isDirectory: boolean;
}

/** A source on the host, opened. A link as its last element is copied itself, unless followed or the path goes on with `/`. */
export function localSource(path: string, follow: boolean): LocalSource {
  const name = endsInDot(path) ? "." : baseName(path);
  const { directory, base } = splitEntry(path);
  const mustFollow = follow || assertsDirectory(path) || path === "/";
  const stat = mustFollow ? tryStat(path) : tryLstat(path);
  if (stat === undefined) throw new CtrError("not-found", `lstat ${path}: no such file or directory`);
  if (isDirectory(stat)) {
    const parent = open(path, O_RDONLY | O_DIRECTORY);
    return { parent, entry: new Uint8Array(0), name, isDirectory: true };
  }
  if (!mustFollow)
    return { parent: open(directory, O_PATH | O_DIRECTORY), entry: Buffer.from(base), name, isDirectory: false };
  const real = realPath(path);
  const place = splitEntry(real);
  return {
    parent: open(place.directory, O_PATH | O_DIRECTORY),
    entry: Buffer.from(place.base),
    name,
    isDirectory: false,
  };
}

function realPath(path: string): string {
  using file = open(path, O_PATH);
  return new TextDecoder().decode(readlinkat(AT_FDCWD, `/proc/self/fd/${file.number}`));
}
