/**
 * The first use of an empty volume: it takes what the image has at its place, with owners, modes, times, links and
 * extended attributes. Runs in init, where the root file system is mounted and nothing of the container runs yet.
 */
import { ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  type Fd,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  open,
  openat,
  read,
  writeAll,
} from "../sys/fd.ts";
import {
  exists,
  fchmod,
  fchownat,
  fgetxattr,
  flistxattr,
  fsetxattr,
  fstat,
  getdents64,
  linkat,
  mkdirat,
  mknodat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
  removeTree,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  type Stat,
  statx,
  symlinkat,
  unlinkat,
  utimensat,
} from "../sys/file.ts";
import { OPEN_TREE_CLONE, openTree } from "../sys/mount.ts";
import { openInRoot } from "./resolve.ts";

/**
 * Fills a volume, the directory behind `volume`, from `destination` in the root file system behind `root`; nothing is
 * done for a volume that has content already, or a place that is no directory. A copy that was cut off leaves the file
 * `mark` and is done again by the next start.
 */
export function copyUp(root: number, destination: string, volume: Fd, mark: string): void {
  using source = openSource(root, destination);
  if (source === undefined) return;
  using target = openat(volume.number, ".", O_RDONLY | O_DIRECTORY);
  const wasCutOff = exists(AT_FDCWD, mark);
  const old = getdents64(target.number);
  if (old.length > 0 && !wasCutOff) return;
  if (!wasCutOff) open(mark, O_WRONLY | O_CREAT, 0o600).close();
  for (const { name } of old) removeTree(target.number, name);
  copyDirectory({ root: target, firsts: new Map() }, source, target, new Uint8Array(0));
  unlinkat(AT_FDCWD, mark);
}

/**
 * Fills a new file system, the root of which is behind `tree`, from `destination`; nothing is done where there is none. The
 * root has that directory's mode unless `mode` says another.
 */
export function copyInto(root: number, destination: string, tree: Fd, mode?: number): void {
  using source = openSource(root, destination);
  if (source === undefined) return;
  using target = openat(tree.number, ".", O_RDONLY | O_DIRECTORY);
  copyDirectory({ root: target, firsts: new Map() }, source, target, new Uint8Array(0));
  if (mode !== undefined) fchmod(target.number, mode);
}

/**
 * The image's directory, in the root file system without what is mounted in it: a link of the image may lead into procfs or to
 * a bind of the host's, and neither is to be had as a copy.
 */
function openSource(root: number, destination: string): Fd | undefined {
  using bare = openTree(root, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  try {
    return openInRoot(bare.number, destination, O_RDONLY | O_DIRECTORY);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return undefined;
    throw error;
  }
}

/** What the copying of one volume carries along. */
interface Copy {
  readonly root: Fd;
  /** Where in the copy each file with several names is: the others become links to it. */
  readonly firsts: Map<string, Uint8Array>;
}

function copyDirectory(copy: Copy, source: Fd, target: Fd, path: Uint8Array): void {
  for (const { name } of getdents64(source.number)) copyEntry(copy, source, target, name, below(path, name));
  copyAttributes(source.number, target.number, fstat(source.number));
}

function copyEntry(copy: Copy, source: Fd, target: Fd, name: Uint8Array, path: Uint8Array): void {
  const stat = statx(source.number, name);
  switch (stat.mode & S_IFMT) {
    case S_IFDIR: {
      using from = openat(source.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      mkdirat(target.number, name, 0o700);
      using to = openat(target.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      copyDirectory(copy, from, to, path);
      return;
    }
    case S_IFREG:
      if (!isLinked(copy, stat, target, name, path)) copyFile(source, target, name, stat);
      return;
    case S_IFSOCK:
      // Nobody listens there.
      return;
    case S_IFLNK:
      symlinkat(readlinkat(source.number, name), target.number, name);
      break;
    default:
      mknodat(target.number, name, stat.mode, stat.rdevMajor, stat.rdevMinor);
  }
  fchownat(target.number, name, stat.uid, stat.gid);
  utimensat(target.number, name, stat.atimeNs, stat.mtimeNs);
}

function below(path: Uint8Array, name: Uint8Array): Uint8Array {
  const joined = new Uint8Array(path.length + 1 + name.length);
  joined.set(path);
  joined[path.length] = 0x2f;
  joined.set(name, path.length + 1);
  return joined;
}

/** True if the file was copied under another name already, of which this one is now a link. */
function isLinked(copy: Copy, stat: Stat, target: Fd, name: Uint8Array, path: Uint8Array): boolean {
  if (stat.nlink < 2) return false;
  const key = `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
  const first = copy.firsts.get(key);
  if (first === undefined) {
    copy.firsts.set(key, path);
    return false;
  }
  // Another container may use the volume already: what it puts in the way is not followed.
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  using file = openat2(copy.root.number, first.subarray(1), { flags: O_PATH | O_NOFOLLOW, resolve });
  linkat(file.number, "", target.number, name, AT_EMPTY_PATH);
  return true;
}

function copyFile(source: Fd, target: Fd, name: Uint8Array, stat: Stat): void {
  using from = openat(source.number, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  using to = openat(target.number, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  const buffer = new Uint8Array(Math.min(1 << 20, Math.max(1, stat.size)));
  for (let size = read(from.number, buffer); size > 0; size = read(from.number, buffer)) {
    writeAll(to.number, buffer.subarray(0, size));
  }
  copyAttributes(from.number, to.number, stat);
}

/** Owner before mode and capabilities: chown(2) clears set-id bits and security.capability. */
function copyAttributes(from: number, to: number, stat: Stat): void {
  fchownat(to, "", stat.uid, stat.gid, AT_EMPTY_PATH);
  fchmod(to, stat.mode & 0o7777);
  for (const name of flistxattr(from)) {
    const value = name.startsWith("trusted.") ? undefined : fgetxattr(from, name);
    if (value !== undefined) fsetxattr(to, name, value);
  }
  utimensat(to, "", stat.atimeNs, stat.mtimeNs, AT_EMPTY_PATH);
}
