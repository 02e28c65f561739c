/**
 * The tree of a layer that is being unpacked, changed one call at a time: what an archive seldom asks for, and what puts
 * right a step that failed. Whatever the archive says, nothing outside the layer's directory is touched: every directory
 * is opened below one descriptor without following links, and every file is made new.
 */
import { CtrError, EEXIST, ENODATA, ENOENT, ENOTDIR, EOPNOTSUPP, isErrno } from "../errors/error.ts";
import type { EntryHeader } from "../spec/layer-entry.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
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
  fchmodat,
  fchownat,
  flistxattr,
  fremovexattr,
  fsetxattr,
  getdents64,
  lgetxattr,
  linkat,
  llistxattr,
  lsetxattr,
  mkdirat,
  mknodat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  readlinkat,
  removeTree,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Stat,
  statx,
  symlinkat,
  unlinkat,
  utimensat,
} from "../sys/file.ts";
import type { LowerLayers } from "./lower-lookup.ts";
import { isPrivateXattr, isWhiteout, makeWhiteout, setOpaque } from "./overlay.ts";

/** openat2(2) so that nothing leads out of a directory: no link, no other mount. */
export const BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
export const DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/** A directory's default ACL gives every file made in it an ACL of its own, so it is set when all are made (acl(5)). */
export const DEFAULT_ACL = "system.posix_acl_default";

/** A path of the archive, checked. All is latin-1 text of the raw bytes: no byte is lost, and maps can hold it. */
export interface Place {
  /** `usr/bin`, empty for the root. */
  readonly directory: string;
  readonly name: string;
  /** Both together. */
  readonly key: string;
}

export function placeOf(key: string): Place {
  const slash = key.lastIndexOf("/");
  return { directory: slash < 0 ? "" : key.slice(0, slash), name: key.slice(slash + 1), key };
}

export class LayerRoot implements Disposable {
  /** Directories that no entry has named yet: at the end they are made to look as they do below. */
  readonly implied = new Set<string>([""]);
  /** Whiteouts of this layer. */
  readonly whiteouts = new Set<string>();
  readonly #root: Fd;

  /** Opens the directory and makes it look like one that nobody has said anything about. */
  constructor(directory: string) {
    this.#root = open(directory, DIRECTORY_FLAGS);
    fchownat(this.#root.number, ".", 0, 0);
    fchmod(this.#root.number, 0o755); // whatever the caller's umask was
    dropXattr(this.#root.number, DEFAULT_ACL); // of the store's own directory
  }

  [Symbol.dispose](): void {
    this.#root.close();
  }

  /** A new descriptor of the root; the caller owns it. */
  openRoot(): Fd {
    return openat(this.#root.number, ".", DIRECTORY_FLAGS);
  }

  /** A new descriptor of a directory of this layer, made with its parents if missing. The caller owns it. */
  openDirectory(key: string): Fd {
    return this.openExisting(key) ?? this.#makeImplied(key);
  }

  /** A new descriptor of a directory of this layer, or undefined if there is none. The caller owns it. */
  openExisting(key: string): Fd | undefined {
    if (key === "") return this.openRoot();
    try {
      return openat2(this.#root.number, bytes(key), { flags: DIRECTORY_FLAGS, resolve: BENEATH });
    } catch (error) {
      if (isErrno(error, ENOENT) || (isErrno(error, ENOTDIR) && this.#leadsThroughWhiteout(key))) return undefined;
      throw error;
    }
  }

  #leadsThroughWhiteout(key: string): boolean {
    for (let slash = key.indexOf("/"); slash >= 0; slash = key.indexOf("/", slash + 1))
      if (this.whiteouts.has(key.slice(0, slash))) return true;
    return this.whiteouts.has(key);
  }

  /** A directory that no entry has named. */
  #makeImplied(key: string): Fd {
    const place = placeOf(key);
    using parent = this.openDirectory(place.directory);
    const fd = this.makeDirectory(parent.number, place);
    fchmod(fd.number, 0o755); // whatever the caller's umask was
    this.implied.add(key);
    return fd;
  }

  /** A new directory, in the place of whatever has its name; where that hides what lies below, so does the directory. */
  makeDirectory(parent: number, place: Place): Fd {
    const hidesLower = this.whiteouts.has(place.key);
    this.replacing(parent, place, () => mkdirat(parent, bytes(place.name), 0o700));
    const fd = openat(parent, bytes(place.name), DIRECTORY_FLAGS);
    if (hidesLower) setOpaque(fd.number);
    return fd;
  }

  setOwner(directory: Fd, { uid, gid, mode }: EntryHeader): void {
    fchownat(directory.number, ".", uid, gid);
    fchmod(directory.number, mode);
  }

  /** A device or FIFO. */
  makeNode(entry: EntryHeader, place: Place): void {
    using directory = this.openDirectory(place.directory);
    const [dirfd, name] = [directory.number, bytes(place.name)];
    const kind = entry.kind === "char" ? S_IFCHR : entry.kind === "block" ? S_IFBLK : S_IFIFO;
    this.replacing(dirfd, place, () => mknodat(dirfd, name, kind | 0o600, entry.major, entry.minor));
    fchownat(dirfd, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW);
    fchmodat(dirfd, name, entry.mode);
    this.#endEntry(entry, dirfd, name);
  }

  makeSymlink(entry: EntryHeader, place: Place): void {
    using directory = this.openDirectory(place.directory);
    const [dirfd, name] = [directory.number, bytes(place.name)];
    this.replacing(dirfd, place, () => symlinkat(entry.linkname, dirfd, name));
    fchownat(dirfd, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW);
    this.#endEntry(entry, dirfd, name);
  }

  #endEntry(entry: EntryHeader, dirfd: number, name: Uint8Array): void {
    for (const [xattr, value] of entry.xattrs) {
      if (!isPrivateXattr(xattr)) ifSupported(() => lsetxattr(insideOf(dirfd, name), xattr, value));
    }
    utimensat(dirfd, name, entry.mtimeNs, entry.mtimeNs);
  }

  /**
   * A hard link to what this layer holds or the layers below do; `target` is checked. Returns the bytes it took: a copy
   * takes some.
   */
  async makeLink(place: Place, target: Place, below: () => Promise<LowerLayers>): Promise<number> {
    const refused = (why: string) =>
      new CtrError("invalid", `${shown(place.key)}: hard link to ${shown(target.key)}: ${why}`);
    using directory = this.openDirectory(place.directory);
    const dirfd = directory.number;
    using from = this.openExisting(target.directory);
    const stat = from === undefined ? undefined : statIfThere(from.number, bytes(target.name));
    if (from !== undefined && stat !== undefined && !isWhiteout(stat)) {
      if ((stat.mode & S_IFMT) === S_IFDIR) throw refused("is a directory");
      this.replacing(dirfd, place, () => linkat(from.number, bytes(target.name), dirfd, bytes(place.name)));
      return 0;
    }
    const found = stat === undefined ? (await below()).find(target.key.split("/").map(bytes)) : undefined;
    if (found === undefined) throw refused("not in this layer nor below it");
    using fd = found.fd;
    this.#copyFromLower(fd, found.stat, dirfd, place, refused);
    return (found.stat.mode & S_IFMT) === S_IFREG ? found.stat.size : 0;
  }

  /** A hard link to a file of a layer below becomes a copy: overlayfs cannot link across layers. */
  #copyFromLower(source: Fd, stat: Stat, dirfd: number, place: Place, refused: (why: string) => CtrError): void {
    const kind = stat.mode & S_IFMT;
    const name = bytes(place.name);
    if (kind === S_IFREG) {
      // Opened anew through its descriptor: O_PATH cannot be read, and nothing is looked up by name again.
      using from = open(`/proc/self/fd/${source.number}`, O_RDONLY);
      const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
      using to = this.replacing(dirfd, place, () => openat(dirfd, name, flags, 0o600));
      const buffer = new Uint8Array(1 << 20);
      for (let size = read(from.number, buffer); size > 0; size = read(from.number, buffer)) {
        writeAll(to.number, buffer.subarray(0, size));
      }
      fchownat(dirfd, name, stat.uid, stat.gid);
      fchmod(to.number, stat.mode & 0o7777);
      setXattrs(to.number, xattrsOf(`/proc/self/fd/${from.number}`, flistxattr(from.number)));
    } else if (kind === S_IFLNK) {
      const target = readlinkat(source.number, "");
      this.replacing(dirfd, place, () => symlinkat(target, dirfd, name));
      fchownat(dirfd, name, stat.uid, stat.gid);
    } else throw refused("not a regular file");
    utimensat(dirfd, name, stat.atimeNs, stat.mtimeNs);
  }

  /** Hides a name of the layers below; what this layer itself has under that name stays. */
  hide(place: Place): void {
    using directory = this.openDirectory(place.directory);
    const name = bytes(place.name);
    const stat = statIfThere(directory.number, name);
    if (stat === undefined) {
      makeWhiteout(directory.number, name);
      this.whiteouts.add(place.key);
    } else if ((stat.mode & S_IFMT) === S_IFDIR) this.makeOpaque(place.key);
  }

  /** Hides all that the layers below have in a directory. */
  makeOpaque(key: string): void {
    using directory = this.openDirectory(key);
    setOpaque(directory.number);
  }

  /** overlayfs never takes a layer's root as opaque, so each name below it is hidden. */
  hideRoot(below: LowerLayers): void {
    for (const root of below.roots()) {
      using directory = openat(root, ".", O_RDONLY | O_DIRECTORY);
      for (const { name } of getdents64(directory.number)) this.hide(placeOf(latin1(name)));
    }
  }

  /** Makes a directory look as it does in the layers below, which it would hide otherwise; its time, if it is there. */
  likeBelow(key: string, lower: LowerLayers): bigint | undefined {
    const below = lower.find(key === "" ? [] : key.split("/").map(bytes));
    if (below === undefined) return undefined;
    using found = below.fd;
    if ((below.stat.mode & S_IFMT) !== S_IFDIR) return undefined;
    using fd = this.openDirectory(key);
    fchownat(fd.number, ".", below.stat.uid, below.stat.gid);
    fchmod(fd.number, below.stat.mode & 0o7777);
    const path = `/proc/self/fd/${found.number}/.`;
    setXattrs(fd.number, xattrsOf(path, llistxattr(path)));
    return below.stat.mtimeNs;
  }

  /** Runs `make`; if the name is taken, removes what has it and runs it again. */
  replacing<T>(dirfd: number, place: Place, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!isErrno(error, EEXIST)) throw error;
    }
    this.removeFile(dirfd, place);
    return make();
  }

  /** Removes what has a name of this layer and is no directory. */
  removeFile(dirfd: number, place: Place): void {
    unlinkat(dirfd, bytes(place.name));
    this.whiteouts.delete(place.key);
  }

  removeTree(dirfd: number, place: Place): void {
    removeTree(dirfd, bytes(place.name));
  }
}

function xattrsOf(path: string, names: readonly string[]): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const name of names) {
    const value = lgetxattr(path, name);
    if (value !== undefined) xattrs.set(name, value);
  }
  return xattrs;
}

/** Sets a layer's attributes, but not those that are overlayfs' or the host's own. */
export function setXattrs(fd: number, xattrs: ReadonlyMap<string, Uint8Array>): void {
  for (const [name, value] of xattrs) {
    if (!isPrivateXattr(name)) ifSupported(() => fsetxattr(fd, name, value));
  }
}

/** Attributes that this file system does not keep are left out, as every unpacker does: the file is whole without. */
function ifSupported(set: () => void): void {
  try {
    set();
  } catch (error) {
    if (!isErrno(error, EOPNOTSUPP)) throw error;
  }
}

function dropXattr(fd: number, name: string): void {
  try {
    fremovexattr(fd, name);
  } catch (error) {
    if (!isErrno(error, ENODATA, EOPNOTSUPP)) throw error;
  }
}

/** `/proc/self/fd/N/name`: how lsetxattr(2), which knows no descriptors, is kept to one directory. */
function insideOf(dirfd: number, name: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${dirfd}/`), name]);
}

function statIfThere(dirfd: number, name: Uint8Array): Stat | undefined {
  return exists(dirfd, name) ? statx(dirfd, name) : undefined;
}

/** Bytes as text of the same length, and back: names need not be UTF-8, and maps need text. */
export function latin1(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString("latin1");
}

export function bytes(name: string): Uint8Array {
  return Buffer.from(name, "latin1");
}

export function shown(path: string): string {
  return new TextDecoder().decode(bytes(path));
}
