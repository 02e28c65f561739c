/** The changes of a container, in an overlayfs upper directory or in a whole tree (diff-trees.ts), as the entries of a layer (image-spec layer.md#change-types). */
import { CtrError } from "../errors/error.ts";
import { type EntryHeader, type EntryKind, OPAQUE_WHITEOUT, WHITEOUT_PREFIX } from "../spec/layer-entry.ts";
import { type Fd, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, open, openat, read } from "../sys/fd.ts";
import {
  flistxattr,
  fstat,
  getdents64,
  lgetxattr,
  llistxattr,
  readlinkat,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Stat,
  statx,
} from "../sys/file.ts";
import { entryKind } from "./entry-kind.ts";
import { isFlat } from "./flat.ts";
import { LowerLayers } from "./lower-lookup.ts";
import { isOpaque, isPrivateXattr, isWhiteout } from "./overlay.ts";

/** An entry of the difference; `read` only of files. Each is used up before the next is asked for. */
export interface DiffEntry extends EntryHeader {
  /** Puts what comes next of the content into `into` and returns how much: fewer than `size` in all if it has shrunk. */
  readonly read?: (into: Uint8Array) => number;
}

/**
 * Whether a path (`etc/hosts`, no leading slash) is left out. A directory that is excluded stays if something below it
 * does, or if the layers below have it with another owner or mode; what is inside is asked about on its own.
 */
export type Exclude = (path: string, stat: Stat) => boolean;

/** The entries in the order of their names, directories before what they hold. `lower` is topmost first. */
export async function* diffUpper(
  upper: string,
  lower: readonly string[],
  exclude: Exclude = () => false,
): AsyncGenerator<DiffEntry, void, undefined> {
  if (isFlat(upper)) {
    const { diffTrees } = await import("./diff-trees.ts");
    yield* diffTrees(upper, lower[0], exclude);
    return;
  }
  using layers = new LowerLayers(lower);
  using root = open(upper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const walk: Walk = { layers, exclude, links: new Map() };
  const stat = fstat(root.number);
  const header = headerOf("directory", encode("./"), stat, xattrsOf(fdPath(root), flistxattr(root.number)));
  if (compareBelow(walk, [], stat) !== "same") yield header;
  for (const entry of walkDirectory(walk, root, [])) yield entry;
}

const ENCODER = new TextEncoder();
const SLASH = ENCODER.encode("/");
const DECODER = new TextDecoder();

interface Walk {
  readonly layers: LowerLayers;
  readonly exclude: Exclude;
  /** The first name of each file with several links, by inode. */
  readonly links: Map<bigint, Uint8Array>;
}

/** One directory's entries; returns how many of its names were left out by `exclude`. */
function* walkDirectory(
  walk: Walk,
  directory: Fd,
  names: readonly Uint8Array[],
): Generator<DiffEntry, number, undefined> {
  let excluded = 0;
  const entries = getdents64(directory.number).sort((a, b) => Buffer.compare(a.name, b.name));
  for (const { name } of entries) {
    const path = [...names, name];
    const stat = statx(directory.number, name);
    const full = joined(path);
    const isExcluded = walk.exclude(DECODER.decode(full), stat);
    if ((stat.mode & S_IFMT) === S_IFDIR) {
      using child = openat(directory.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      refuseRedirect(child, full);
      if (yield* walkChild(walk, child, path, full, stat, isExcluded)) excluded++;
    } else if (isExcluded) excluded++;
    else if (isWhiteout(stat)) {
      // What is not in the layers below was the engine's own, below them all (placeholders.ts).
      if (compareBelow(walk, path, stat) !== "absent") yield whiteout(joined([...names, prefixed(name)]), stat);
    } else yield* fileEntry(walk, directory, name, full, stat);
  }
  return excluded;
}

/**
 * A directory and what it holds. It goes out only when something makes it: being wanted itself, or the first entry
 * below it. Returns true if nothing of it went out.
 */
function* walkChild(
  walk: Walk,
  child: Fd,
  path: readonly Uint8Array[],
  full: Uint8Array,
  stat: Stat,
  isExcluded: boolean,
): Generator<DiffEntry, boolean, undefined> {
  const header = headerOf("directory", full, stat, xattrsOf(fdPath(child), flistxattr(child.number)));
  const hidesLower = isOpaque(child.number);
  const inside = walkDirectory(walk, child, path);
  let next = inside.next();
  if (next.done === true && !hidesLower) {
    // Nothing below: an excluded directory is left out, and so is one that was only copied up to hold excluded files.
    if (isExcluded && compareBelow(walk, path, stat) !== "different") return true;
    if (next.value > 0 && compareBelow(walk, path, stat) === "same") return true;
  }
  yield header;
  if (hidesLower) yield whiteout(joined([...path, encode(OPAQUE_WHITEOUT)]), stat);
  for (; next.done !== true; next = inside.next()) yield next.value;
  return false;
}

/** What the merged layers below have of this name: the same owner and mode, another, or nothing. */
function compareBelow(walk: Walk, path: readonly Uint8Array[], stat: Stat): "same" | "different" | "absent" {
  if (walk.layers.isEmpty) return path.length > 0 ? "absent" : "same";
  const below = walk.layers.find(path);
  if (below === undefined) return "absent";
  using fd = below.fd;
  void fd;
  const isSame = below.stat.mode === stat.mode && below.stat.uid === stat.uid && below.stat.gid === stat.gid;
  return isSame ? "same" : "different";
}

/** The entry of a file that is no directory; a further name of one that went out is a link to it. */
export function* fileEntry(
  walk: Pick<Walk, "links">,
  directory: Fd,
  name: Uint8Array,
  full: Uint8Array,
  stat: Stat,
): Generator<DiffEntry, void, undefined> {
  const kind = entryKind(stat);
  if (kind === undefined) return; // a socket: it means nothing without the process that bound it
  if (stat.nlink > 1) {
    const first = walk.links.get(stat.ino);
    if (first !== undefined) {
      yield { ...headerOf("link", full, stat, new Map()), linkname: first };
      return;
    }
    walk.links.set(stat.ino, full);
  }
  const path = insideOf(directory, name);
  const names = llistxattr(path);
  if (names.includes("trusted.overlay.metacopy")) throw notWhole(full, "metacopy");
  const header = headerOf(kind, full, stat, xattrsOf(path, names));
  if (kind === "symlink") yield { ...header, linkname: readlinkat(directory.number, name) };
  else if (kind === "file") {
    // The container may run (commit -p=false) and change it meanwhile: what is open now is what is described.
    using fd = openat(directory.number, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const now = fstat(fd.number);
    if ((now.mode & S_IFMT) !== S_IFREG)
      throw new CtrError("conflict", `${DECODER.decode(full)}: changed while it was read`);
    yield { ...header, size: now.size, read: (into) => read(fd.number, into) };
  } else yield header;
}

/** The entry of an open directory. */
export function directoryEntry(directory: Fd, full: Uint8Array, stat: Stat): DiffEntry {
  return headerOf("directory", full, stat, xattrsOf(fdPath(directory), flistxattr(directory.number)));
}

function headerOf(kind: EntryKind, name: Uint8Array, stat: Stat, xattrs: ReadonlyMap<string, Uint8Array>): EntryHeader {
  const isDevice = kind === "char" || kind === "block";
  return {
    kind,
    name,
    linkname: NONE,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: 0,
    mtimeNs: stat.mtimeNs,
    major: isDevice ? stat.rdevMajor : 0,
    minor: isDevice ? stat.rdevMinor : 0,
    xattrs,
  };
}

const NONE = new Uint8Array(0);

function whiteout(name: Uint8Array, stat: Stat): DiffEntry {
  return { ...headerOf("file", name, stat, new Map()), mode: 0o600 };
}

/** The entry that removes `name` from a directory of the layers below; its owner and time are those of `stat`. */
export function removedEntry(directory: readonly Uint8Array[], name: Uint8Array, stat: Stat): DiffEntry {
  return whiteout(joined([...directory, prefixed(name)]), stat);
}

function refuseRedirect(directory: Fd, full: Uint8Array): void {
  if (flistxattr(directory.number).includes("trusted.overlay.redirect")) throw notWhole(full, "redirect_dir");
}

/** With these features of overlayfs on, what is in an upper directory lies elsewhere (overlayfs.rst). */
function notWhole(full: Uint8Array, feature: string): CtrError {
  const name = DECODER.decode(full);
  return new CtrError(
    "unsupported",
    `${name}: changed on an overlay mounted with ${feature}, which a layer cannot say`,
  );
}

function xattrsOf(path: Uint8Array, names: readonly string[]): ReadonlyMap<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const name of names) {
    if (isPrivateXattr(name)) continue;
    const value = lgetxattr(path, name);
    if (value !== undefined) xattrs.set(name, value);
  }
  return xattrs;
}

function fdPath(directory: Fd): Uint8Array {
  return encode(`/proc/self/fd/${directory.number}/.`);
}

function insideOf(directory: Fd, name: Uint8Array): Uint8Array {
  return Buffer.concat([encode(`/proc/self/fd/${directory.number}/`), name]);
}

function prefixed(name: Uint8Array): Uint8Array {
  return Buffer.concat([encode(WHITEOUT_PREFIX), name]);
}

export function joined(names: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(names.flatMap((name, index) => (index === 0 ? [name] : [SLASH, name])));
}

function encode(text: string): Uint8Array {
  return ENCODER.encode(text);
}
