/**
 * Entries of an archive made into files below a directory, as `docker cp` does it (moby pkg/archive `Unpack`): what is there
 * is replaced, directories are merged, and neither takes the place of the other. Every name is made relative to the
 * descriptor of its directory, which `PlaceFinder` resolves.
 */
import { CtrError, EBUSY, EEXIST, EOPNOTSUPP, EPERM, isErrno, SyscallError } from "../errors/error.ts";
import type { EntryHeader } from "../spec/layer-entry.ts";
import {
  AT_EMPTY_PATH,
  type Fd,
  ftruncate,
  lseek,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  openat,
  writeAll,
} from "../sys/fd.ts";
import {
  exists,
  fchmod,
  fchownat,
  fsetxattr,
  linkat,
  mkdirat,
  mknodat,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  statx,
  symlinkat,
  unlinkat,
  utimensat,
} from "../sys/file.ts";
import { type IdRuns, outside } from "../sys/user-namespace.ts";
import { type CopyEntry, HOLE, shrunk } from "./copy-source.ts";

/** Finds the directory of a path inside the copy's directory, as names; it is the caller's to close. */
export interface PlaceFinder {
  /** Throws ENOENT where it is not there. */
  open(names: readonly string[]): Fd;
  /** Makes it, root:root 0755, with its parents. */
  make(names: readonly string[]): Fd;
}

/** Whose the copies are: as the archive says, the copying user's own, or one pair for all. */
export type Ownership = "kept" | "own" | { readonly uid: number; readonly gid: number };

export interface WriteOptions {
  readonly place: PlaceFinder;
  readonly ownership: Ownership;
  /** What the owners' ids are where the files are made, if they are others there. */
  readonly ids?: IdRuns | undefined;
  /** The directory as the user knows it, for messages. */
  readonly shown: string;
}

/** Descriptors of directories kept open: entries come in order, so a few are enough. */
const CACHED = 32;

/**
 * Makes the entries. Throws `invalid` for an entry that would leave the directory, or that is a directory where something
 * else is and the other way round; what was made before stays.
 */
export async function writeTree(entries: AsyncIterable<CopyEntry>, options: WriteOptions): Promise<void> {
  using writer = new TreeWriter(options);
  for await (const entry of entries) await writer.add(entry);
  writer.finish();
}

class TreeWriter implements Disposable {
  readonly #options: WriteOptions;
  readonly #open = new Map<string, Fd>();
  /** Set last, because whatever is made inside a directory changes them. */
  readonly #times: { readonly names: readonly string[]; readonly mtimeNs: bigint }[] = [];

  constructor(options: WriteOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) fd.close();
    this.#open.clear();
  }

  async add(entry: CopyEntry): Promise<void> {
    const names = this.#names(entry.name);
    const last = names.at(-1);
    if (last === undefined) {
      if (entry.kind === "directory") return;
      throw new CtrError("invalid", `cannot overwrite directory "${this.#options.shown}" with non-directory`);
    }
    const directory = this.#directory(names.slice(0, -1), true);
    const name = bytes(last);
    this.#clear(directory, name, entry, names);
    if (entry.kind === "directory") this.#makeDirectory(directory, name, entry, names);
    else if (entry.kind === "file") await this.#makeFile(directory, name, entry);
    else this.#makeOther(directory, name, entry);
  }

  finish(): void {
    for (const { names, mtimeNs } of this.#times.toReversed()) {
      using directory = this.#options.place.open(names);
      utimensat(directory.number, "", mtimeNs, mtimeNs, AT_EMPTY_PATH);
    }
  }

  /** Makes room: what is no directory goes, unless a directory is to take its place. */
  #clear(directory: Fd, name: Uint8Array, entry: EntryHeader, names: readonly string[]): void {
    if (!exists(directory.number, name)) return;
    const stat = statx(directory.number, name);
    const isThere = (stat.mode & S_IFMT) === S_IFDIR;
    const isWanted = entry.kind === "directory";
    if (isThere && isWanted) return;
    if (isThere !== isWanted && (isThere || isWanted)) {
      const path = `${this.#options.shown.replace(/\/$/, "")}/${shown(names)}`;
      const [there, wanted] = isThere ? ["directory", "non-directory"] : ["non-directory", "directory"];
      throw new CtrError("conflict", `cannot overwrite ${there} "${path}" with ${wanted} "${this.#options.shown}"`);
    }
    // unlink(2) refuses only what is mounted in the caller's own namespace: from here it would take the mount away.
    if (stat.isMountRoot)
      throw new SyscallError("unlink", EBUSY, `${this.#options.shown.replace(/\/$/, "")}/${shown(names)}`);
    unlinkat(directory.number, name);
  }

  #makeDirectory(directory: Fd, name: Uint8Array, entry: EntryHeader, names: readonly string[]): void {
    try {
      mkdirat(directory.number, name, 0o700);
    } catch (error) {
      if (!isErrno(error, EEXIST)) throw error;
    }
    using made = openat(directory.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#own(made.number, "", entry, AT_EMPTY_PATH);
    fchmod(made.number, entry.mode);
    setXattrs(made.number, entry);
    this.#times.push({ names, mtimeNs: entry.mtimeNs });
  }

  async #makeFile(directory: Fd, name: Uint8Array, entry: CopyEntry): Promise<void> {
    using file = openat(directory.number, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    let written = 0;
    let hasHole = false;
    for await (const chunk of entry.content ?? []) {
      if (isHole(chunk)) {
        lseek(file.number, chunk.length, 1);
        hasHole = true;
      } else writeAll(file.number, chunk);
      written += chunk.length;
    }
    if (written !== entry.size) throw shrunk(entry.name);
    if (hasHole) ftruncate(file.number, entry.size);
    // Owner first: chown(2) clears set-id bits and capabilities.
    this.#own(file.number, "", entry, AT_EMPTY_PATH);
    fchmod(file.number, entry.mode);
    setXattrs(file.number, entry);
    utimensat(file.number, "", entry.mtimeNs, entry.mtimeNs, AT_EMPTY_PATH);
  }

  #makeOther(directory: Fd, name: Uint8Array, entry: EntryHeader): void {
    switch (entry.kind) {
      case "link": {
        const target = this.#names(entry.linkname);
        const last = target.at(-1);
        if (last === undefined) throw new CtrError("invalid", `${shownBytes(entry.name)}: hard link to a directory`);
        linkat(this.#directory(target.slice(0, -1), false).number, bytes(last), directory.number, name);
        return;
      }
      case "symlink":
        symlinkat(entry.linkname, directory.number, name);
        break;
      // The mode is given with the call, under umask 0: a name could be another file by the time of a chmod.
      case "char":
        mknodat(directory.number, name, S_IFCHR | entry.mode, entry.major, entry.minor);
        break;
      case "block":
        mknodat(directory.number, name, S_IFBLK | entry.mode, entry.major, entry.minor);
        break;
      case "fifo":
        mknodat(directory.number, name, S_IFIFO | entry.mode);
        break;
      default:
        throw new CtrError("internal", `not made here: ${entry.kind}`);
    }
    this.#own(directory.number, name, entry);
    utimensat(directory.number, name, entry.mtimeNs, entry.mtimeNs);
  }

  #names(path: Uint8Array): string[] {
    const names = cleanNames(path);
    if (names !== undefined) return names;
    throw new CtrError("invalid", `${JSON.stringify(shownBytes(path))} is outside of "${this.#options.shown}"`);
  }

  #own(dirfd: number, name: Uint8Array | "", entry: EntryHeader, flags?: number): void {
    const { ownership } = this.#options;
    if (ownership === "own") return;
    const { uid, gid } = ownership === "kept" ? entry : ownership;
    const owner = this.#options.ids === undefined ? { uid, gid } : mapped(this.#options.ids, uid, gid, entry.name);
    fchownat(dirfd, name, owner.uid, owner.gid, flags);
  }

  /** The directory of these names; it stays this writer's. */
  #directory(names: readonly string[], mayMake: boolean): Fd {
    const key = names.join("/");
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const { place } = this.#options;
    const fd = mayMake ? place.make(names) : place.open(names);
    if (this.#open.size >= CACHED) {
      const [oldest] = this.#open;
      if (oldest !== undefined) {
        oldest[1].close();
        this.#open.delete(oldest[0]);
      }
    }
    this.#open.set(key, fd);
    return fd;
  }
}

function mapped(
  { uids, gids }: IdRuns,
  uid: number,
  gid: number,
  name: Uint8Array,
): { readonly uid: number; readonly gid: number } {
  const owner = { uid: outside(uids, uid), gid: outside(gids, gid) };
  if (owner.uid !== undefined && owner.gid !== undefined) return { uid: owner.uid, gid: owner.gid };
  const message = `${shownBytes(name)}: its owner ${uid}:${gid} is nobody in the container's user namespace`;
  throw new CtrError("invalid", message);
}

/** Attributes that the file system does not keep, or does not let us set, are left out, as Docker leaves them out. */
function setXattrs(fd: number, { xattrs }: EntryHeader): void {
  for (const [name, value] of xattrs) {
    if (name.startsWith("trusted.")) continue;
    try {
      fsetxattr(fd, name, value);
    } catch (error) {
      if (!isErrno(error, EOPNOTSUPP, EPERM)) throw error;
    }
  }
}

const SMALLEST_HOLE = 4096;

/** True for a piece of zeros that is worth leaving out. */
function isHole(chunk: Uint8Array): boolean {
  if (chunk.buffer === HOLE.buffer) return true;
  if (chunk.length < SMALLEST_HOLE || chunk[0] !== 0 || chunk.at(-1) !== 0 || chunk.length > HOLE.length) return false;
  return Buffer.compare(chunk, HOLE.subarray(0, chunk.length)) === 0;
}

/** The names of a path, cleaned as Go's filepath.Clean does; undefined for one that leads out. */
function cleanNames(path: Uint8Array): string[] | undefined {
  const names: string[] = [];
  // latin-1: each byte is one character, and comes back as it was.
  for (const name of Buffer.from(path).toString("latin1").split("/")) {
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.pop() === undefined) return undefined;
  }
  return names;
}

function bytes(name: string): Uint8Array {
  return Buffer.from(name, "latin1");
}

function shown(names: readonly string[]): string {
  return shownBytes(bytes(names.join("/")));
}

function shownBytes(path: Uint8Array): string {
  return new TextDecoder().decode(path);
}
