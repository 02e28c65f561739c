/**
 * Unpacking a layer for overlayfs (image-spec layer.md#applying-changesets). Whatever the archive says, nothing
 * outside the layer's directory is touched: every directory is opened below one descriptor without following links,
 * and every file is made new.
 */
import { CtrError, EEXIST, ELOOP, ENOENT, ENOTDIR, EOPNOTSUPP, isErrno } from "../errors/error.ts";
import type { LayerEntry } from "../spec/layer-entry.ts";
import { OPAQUE_WHITEOUT, WHITEOUT_PREFIX } from "../spec/layer-entry.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  ftruncate,
  lseek,
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
import { LowerLayers } from "./lower-lookup.ts";
import { isPrivateXattr, isWhiteout, makeWhiteout, setOpaque } from "./overlay.ts";

/**
 * Unpacks `entries` into `directory`, which exists and is empty. Returns the bytes of all regular files. Throws CtrError
 * `invalid` for an entry that is refused; the caller removes the directory.
 */
export async function unpackLayer(
  entries: AsyncIterable<LayerEntry>,
  directory: string,
  lower: Lower,
): Promise<number> {
  using unpacker = new Unpacker(directory, lower);
  for await (const entry of entries) await unpacker.add(entry);
  await unpacker.finish();
  return unpacker.size;
}

/**
 * The directories of the layers below, topmost first. A promise of them, where there are some: several layers may be
 * unpacked at once, because what is below matters only at the end, and to a hard link that leads there.
 */
export type Lower = readonly string[] | Promise<readonly string[]>;

/** Directory descriptors kept open: archives go through a tree in order, so a few are enough. */
const CACHED_DIRECTORIES = 64;
const BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

/** A path of the archive, checked: its names, and the same as text that loses no byte. */
interface Place {
  /** `usr/bin`, latin-1 of the raw bytes; empty for the root. */
  readonly directory: string;
  readonly name: Uint8Array;
  readonly key: string;
}

class Unpacker implements Disposable {
  size = 0;
  readonly #root: Fd;
  readonly #lower: Lower;
  readonly #hasLower: boolean;
  #openLower: LowerLayers | undefined;
  readonly #directories = new Map<string, Fd>();
  /** Set last, because whatever is made inside a directory changes them. */
  readonly #directoryTimes = new Map<string, bigint>();
  /** Directories that no entry has named yet: at the end they are made to look as they do below. */
  readonly #implied = new Set<string>([""]);
  #isRootOpaque = false;

  constructor(directory: string, lower: Lower) {
    this.#lower = lower;
    this.#hasLower = !Array.isArray(lower) || lower.length > 0;
    this.#root = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    fchownat(this.#root.number, ".", 0, 0);
    fchmod(this.#root.number, 0o755); // whatever the caller's umask was
  }

  [Symbol.dispose](): void {
    for (const fd of this.#directories.values()) fd.close();
    this.#directories.clear();
    this.#root.close();
    this.#openLower?.[Symbol.dispose]();
  }

  async add(entry: LayerEntry): Promise<void> {
    const path = latin1(entry.name);
    const names = checkedNames(path);
    const last = names.at(-1);
    if (last === undefined) {
      if (entry.kind === "directory") this.#setDirectory(this.#root, "", entry);
      return;
    }
    const hidden = names.findIndex((name) => name.startsWith(WHITEOUT_PREFIX));
    if (hidden >= 0) {
      this.#whiteout(names, hidden);
      return;
    }
    const place = { directory: names.slice(0, -1).join("/"), name: bytes(last), key: names.join("/") };
    try {
      await this.#make(entry, place);
    } catch (error) {
      if (isErrno(error, ELOOP, ENOTDIR)) {
        throw new CtrError(
          "invalid",
          `${shown(path)}: refused, the archive writes through something that is not a directory`,
          { cause: error },
        );
      }
      throw error;
    }
  }

  /** Sets what could only be set last. */
  async finish(): Promise<void> {
    if (this.#hasLower) {
      const below = await this.#below();
      for (const key of this.#implied) this.#likeBelow(key, below);
      if (this.#isRootOpaque) this.#hideLowerRoot(below);
    }
    for (const [key, mtimeNs] of this.#directoryTimes) {
      const slash = key.lastIndexOf("/");
      const parent = this.#openDirectory(slash < 0 ? "" : key.slice(0, slash));
      utimensat(parent.number, key === "" ? "." : bytes(key.slice(slash + 1)), mtimeNs, mtimeNs);
    }
  }

  async #make(entry: LayerEntry, place: Place): Promise<void> {
    const dirfd = this.#openDirectory(place.directory).number;
    switch (entry.kind) {
      case "directory":
        this.#makeDirectory(entry, dirfd, place);
        return;
      case "file":
        await this.#makeFile(entry, dirfd, place);
        return;
      case "link":
        await this.#makeLink(entry, dirfd, place);
        return;
      case "symlink":
        this.#replacing(dirfd, place, () => symlinkat(entry.linkname, dirfd, place.name));
        break;
      case "char":
      case "block": {
        // A whiteout is said with a name of its own; overlayfs' form of it in an archive is nobody's file.
        if (entry.major === 0 && entry.minor === 0 && entry.kind === "char") return;
        const kind = entry.kind === "char" ? S_IFCHR : S_IFBLK;
        this.#replacing(dirfd, place, () => mknodat(dirfd, place.name, kind | 0o600, entry.major, entry.minor));
        break;
      }
      case "fifo":
        this.#replacing(dirfd, place, () => mknodat(dirfd, place.name, S_IFIFO | 0o600));
        break;
      default:
        entry.kind satisfies never;
    }
    fchownat(dirfd, place.name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW);
    if (entry.kind !== "symlink") fchmodat(dirfd, place.name, entry.mode);
    for (const [name, value] of entry.xattrs) {
      if (!isPrivateXattr(name)) ifSupported(() => lsetxattr(insideOf(dirfd, place.name), name, value));
    }
    utimensat(dirfd, place.name, entry.mtimeNs, entry.mtimeNs);
  }

  async #makeFile(entry: LayerEntry, dirfd: number, place: Place): Promise<void> {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    using fd = this.#replacing(dirfd, place, () => openat(dirfd, place.name, flags, 0o600));
    const mayHaveHoles = entry.size >= ZEROS.length;
    for await (const chunk of entry.content) {
      if (mayHaveHoles && isZero(chunk)) lseek(fd.number, chunk.length, 1);
      else writeAll(fd.number, chunk);
    }
    if (mayHaveHoles) ftruncate(fd.number, entry.size);
    this.size += entry.size;
    // The order matters: chown clears setuid and file capabilities (chown(2), capabilities(7)).
    fchownat(dirfd, place.name, entry.uid, entry.gid);
    fchmod(fd.number, entry.mode);
    setXattrs(fd.number, entry.xattrs);
    utimensat(dirfd, place.name, entry.mtimeNs, entry.mtimeNs);
  }

  #makeDirectory(entry: LayerEntry, dirfd: number, place: Place): void {
    let hidesLower = false;
    try {
      mkdirat(dirfd, place.name, 0o700);
    } catch (error) {
      if (!isErrno(error, EEXIST)) throw error;
      const stat = statx(dirfd, place.name);
      if ((stat.mode & S_IFMT) !== S_IFDIR) {
        hidesLower = isWhiteout(stat);
        unlinkat(dirfd, place.name);
        mkdirat(dirfd, place.name, 0o700);
      }
    }
    const fd = this.#openDirectory(place.key);
    if (hidesLower) setOpaque(fd.number);
    this.#setDirectory(fd, place.key, entry);
  }

  #setDirectory(fd: Fd, key: string, entry: LayerEntry): void {
    this.#implied.delete(key);
    fchownat(fd.number, ".", entry.uid, entry.gid);
    fchmod(fd.number, entry.mode);
    setXattrs(fd.number, entry.xattrs);
    this.#directoryTimes.set(key, entry.mtimeNs);
  }

  async #makeLink(entry: LayerEntry, dirfd: number, place: Place): Promise<void> {
    const names = checkedNames(latin1(entry.linkname));
    const last = names.at(-1);
    const key = names.join("/");
    if (key === place.key) return; // a link to itself is already there
    const refused = (why: string) => new CtrError("invalid", `${shown(place.key)}: hard link to ${shown(key)}: ${why}`);
    if (last === undefined) throw refused("is a directory");
    using targetDirectory = this.#openExisting(names.slice(0, -1).join("/"));
    const target = targetDirectory === undefined ? undefined : statIfThere(targetDirectory.number, bytes(last));
    if (targetDirectory !== undefined && target !== undefined && !isWhiteout(target)) {
      if ((target.mode & S_IFMT) === S_IFDIR) throw refused("is a directory");
      this.#replacing(dirfd, place, () => linkat(targetDirectory.number, bytes(last), dirfd, place.name));
      return;
    }
    const below = target === undefined ? (await this.#below()).find(names.map(bytes)) : undefined;
    if (below === undefined) throw refused("not in this layer nor below it");
    using found = below.fd;
    this.#copyFromLower(found, below.stat, dirfd, place, refused);
  }

  /** A hard link to a file of a layer below becomes a copy: overlayfs cannot link across layers. */
  #copyFromLower(source: Fd, stat: Stat, dirfd: number, place: Place, refused: (why: string) => CtrError): void {
    const kind = stat.mode & S_IFMT;
    if (kind === S_IFREG) {
      // Opened anew through its descriptor: O_PATH cannot be read, and nothing is looked up by name again.
      using from = open(`/proc/self/fd/${source.number}`, O_RDONLY);
      using to = this.#replacing(dirfd, place, () =>
        openat(dirfd, place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
      );
      const buffer = new Uint8Array(1 << 20);
      for (let size = read(from.number, buffer); size > 0; size = read(from.number, buffer)) {
        writeAll(to.number, buffer.subarray(0, size));
      }
      this.size += stat.size;
      fchownat(dirfd, place.name, stat.uid, stat.gid);
      fchmod(to.number, stat.mode & 0o7777);
      setXattrs(to.number, xattrsOf(`/proc/self/fd/${from.number}`, flistxattr(from.number)));
    } else if (kind === S_IFLNK) {
      const target = readlinkat(source.number, "");
      this.#replacing(dirfd, place, () => symlinkat(target, dirfd, place.name));
      fchownat(dirfd, place.name, stat.uid, stat.gid);
    } else throw refused("not a regular file");
    utimensat(dirfd, place.name, stat.atimeNs, stat.mtimeNs);
  }

  #whiteout(names: readonly string[], index: number): void {
    const name = names[index] ?? "";
    const directory = names.slice(0, index).join("/");
    if (name === OPAQUE_WHITEOUT) {
      if (directory === "") this.#isRootOpaque = true;
      else setOpaque(this.#openDirectory(directory).number);
      return;
    }
    // Other names of this prefix are aufs' own bookkeeping.
    if (name.startsWith(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`)) return;
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (index !== names.length - 1 || hidden === "" || hidden === "." || hidden === "..") {
      throw new CtrError("invalid", `${shown(names.join("/"))}: refused, not a whiteout`);
    }
    if (!this.#hasLower) return;
    this.#hide(
      this.#openDirectory(directory).number,
      bytes(hidden),
      `${directory === "" ? "" : `${directory}/`}${hidden}`,
    );
  }

  /** Hides a name of the layers below; what this layer itself has under that name stays. */
  #hide(dirfd: number, name: Uint8Array, key: string): void {
    const stat = statIfThere(dirfd, name);
    if (stat === undefined) makeWhiteout(dirfd, name);
    else if ((stat.mode & S_IFMT) === S_IFDIR) setOpaque(this.#openDirectory(key).number);
  }

  /** overlayfs never takes a layer's root as opaque, so each name below it is hidden. */
  #hideLowerRoot(below: LowerLayers): void {
    for (const root of below.roots()) {
      using directory = openat(root, ".", O_RDONLY | O_DIRECTORY);
      for (const { name } of getdents64(directory.number)) this.#hide(this.#root.number, name, latin1(name));
    }
  }

  /** Runs `make`; if the name is taken, removes what has it and runs it again. */
  #replacing<T>(dirfd: number, place: Place, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!isErrno(error, EEXIST)) throw error;
    }
    const stat = statx(dirfd, place.name);
    if ((stat.mode & S_IFMT) === S_IFDIR) {
      removeTree(dirfd, place.name);
      this.#forget(place.key);
    } else unlinkat(dirfd, place.name);
    return make();
  }

  /** Drops what is remembered of a directory that was removed, and of all below it. */
  #forget(key: string): void {
    const isBelow = (other: string) => other === key || other.startsWith(`${key}/`);
    for (const other of [...this.#directoryTimes.keys()].filter(isBelow)) this.#directoryTimes.delete(other);
    for (const other of [...this.#implied].filter(isBelow)) this.#implied.delete(other);
    for (const [other, fd] of [...this.#directories].filter(([other]) => isBelow(other))) {
      fd.close();
      this.#directories.delete(other);
    }
  }

  /** The directory of this layer, made with its parents if missing. The descriptor stays the unpacker's. */
  #openDirectory(key: string): Fd {
    if (key === "") return this.#root;
    const cached = this.#directories.get(key);
    if (cached !== undefined) return cached;
    return this.#remember(key, this.#openExisting(key) ?? this.#makeImplied(key));
  }

  #remember(key: string, fd: Fd): Fd {
    if (this.#directories.size >= CACHED_DIRECTORIES) {
      for (const [oldest, old] of this.#directories) {
        old.close();
        this.#directories.delete(oldest);
        if (this.#directories.size < CACHED_DIRECTORIES / 2) break;
      }
    }
    this.#directories.set(key, fd);
    return fd;
  }

  /** A new descriptor of a directory of this layer, or undefined if there is none. The caller owns it. */
  #openExisting(key: string): Fd | undefined {
    if (key === "") return openat(this.#root.number, ".", O_RDONLY | O_DIRECTORY);
    try {
      return openat2(this.#root.number, bytes(key), { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve: BENEATH });
    } catch (error) {
      if (isErrno(error, ENOENT)) return undefined;
      throw error;
    }
  }

  /** A directory that no entry has named. */
  #makeImplied(key: string): Fd {
    const slash = key.lastIndexOf("/");
    const parent = this.#openDirectory(slash < 0 ? "" : key.slice(0, slash));
    const name = bytes(key.slice(slash + 1));
    mkdirat(parent.number, name, 0o755);
    const fd = openat(parent.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    fchmod(fd.number, 0o755); // whatever the caller's umask was
    this.#implied.add(key);
    return fd;
  }

  /** Makes a directory look as it does in the layers below, which it would hide otherwise; the root too. */
  #likeBelow(key: string, lower: LowerLayers): void {
    const below = lower.find(key === "" ? [] : key.split("/").map(bytes));
    if (below === undefined) return;
    using found = below.fd;
    if ((below.stat.mode & S_IFMT) !== S_IFDIR) return;
    const fd = this.#openDirectory(key);
    fchownat(fd.number, ".", below.stat.uid, below.stat.gid);
    fchmod(fd.number, below.stat.mode & 0o7777);
    const path = `/proc/self/fd/${found.number}/.`;
    setXattrs(fd.number, xattrsOf(path, llistxattr(path)));
    this.#directoryTimes.set(key, below.stat.mtimeNs);
  }

  /** The layers below, opened when they are first needed: they may have to be waited for. */
  async #below(): Promise<LowerLayers> {
    this.#openLower ??= new LowerLayers(await this.#lower);
    return this.#openLower;
  }
}

/** The names of a path, or an error: no `..`. A leading `/` means the layer's root, as it does in Docker. */
function checkedNames(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw new CtrError("invalid", `${shown(path)}: refused, the path leads out of the archive`);
  return names;
}

function xattrsOf(path: string, names: readonly string[]): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const name of names) {
    const value = lgetxattr(path, name);
    if (value !== undefined) xattrs.set(name, value);
  }
  return xattrs;
}

function setXattrs(fd: number, xattrs: ReadonlyMap<string, Uint8Array>): void {
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

/** `/proc/self/fd/N/name`: how lsetxattr(2), which knows no descriptors, is kept to one directory. */
function insideOf(dirfd: number, name: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${dirfd}/`), name]);
}

function statIfThere(dirfd: number, name: Uint8Array): Stat | undefined {
  return exists(dirfd, name) ? statx(dirfd, name) : undefined;
}

const ZEROS = new Uint8Array(64 * 1024);

function isZero(chunk: Uint8Array): boolean {
  if (chunk.length < 4096 || chunk[0] !== 0 || chunk.at(-1) !== 0) return false;
  for (let at = 0; at < chunk.length; at += ZEROS.length) {
    const part = chunk.subarray(at, at + ZEROS.length);
    if (Buffer.compare(part, part.length === ZEROS.length ? ZEROS : ZEROS.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}

/** Bytes as text of the same length, and back: names need not be UTF-8, and maps need text. */
function latin1(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString("latin1");
}

function bytes(name: string): Uint8Array {
  return Buffer.from(name, "latin1");
}

function shown(path: string): string {
  return new TextDecoder().decode(bytes(path));
}
