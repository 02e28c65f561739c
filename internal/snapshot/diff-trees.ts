/**
 * What changed between a layer that is a whole tree and the tree of a container that began as a copy of it (vfs, btrfs),
 * as the entries of a layer: the same that overlayfs' upper directory would give (diff.ts).
 */
import { type Fd, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, open, openat, read } from "../sys/fd.ts";
import {
  fstat,
  getdents64,
  lgetxattr,
  llistxattr,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Stat,
  statx,
} from "../sys/file.ts";
import { type DiffEntry, directoryEntry, type Exclude, fileEntry, joined, removedEntry } from "./diff.ts";
import { madeAt } from "./flat-root.ts";
import { isPrivateXattr } from "./overlay.ts";
import { fileUsage, usageAt } from "./usage.ts";

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

interface Comparison {
  readonly exclude: Exclude;
  readonly links: Map<bigint, Uint8Array>;
  /** What has an earlier ctime was not touched since the tree was made: what only it has then is the engine's own. */
  readonly madeNs: bigint;
}

/** The entries in the order of their names, directories before what they hold. `below` is undefined for no layer at all. */
export async function* diffTrees(
  tree: string,
  below: string | undefined,
  exclude: Exclude,
): AsyncGenerator<DiffEntry, void, undefined> {
  const comparison: Comparison = { exclude, links: new Map(), madeNs: madeAt(tree) };
  using root = open(tree, DIRECTORY);
  using lower = below === undefined ? undefined : open(below, DIRECTORY);
  const stat = fstat(root.number);
  if (lower !== undefined && !isAlike(stat, fstat(lower.number))) yield directoryEntry(root, encode("./"), stat);
  for (const entry of diffDirectory(comparison, root, lower, [])) yield entry;
}

/** How many bytes of the files in `tree` are not those of `below`. */
export function changedUsage(tree: string, below: string | undefined): number {
  const madeNs = madeAt(tree);
  const seen = new Set<bigint>();
  const walk = (directory: Fd, lower: Fd | undefined, depth: number): number => {
    let bytes = 0;
    for (const { name, stat, lowerStat } of namesOf(directory, lower)) {
      if (stat === undefined) continue;
      if (kindOf(stat) !== S_IFDIR) {
        const isSame =
          lowerStat === undefined
            ? stat.ctimeNs < madeNs
            : isUnchanged(madeNs, directory, lower, name, stat, lowerStat);
        if (!isSame) bytes += fileUsage(stat, seen);
        continue;
      }
      if (depth >= MAX_COMPARED_DEPTH) {
        bytes += usageAt(directory.number, name, seen);
        continue;
      }
      using child = openat(directory.number, name, DIRECTORY);
      using lowerChild = openBelow(lower, name, lowerStat);
      bytes += walk(child, lowerChild, depth + 1);
    }
    return bytes;
  };
  using root = open(tree, DIRECTORY);
  using lower = below === undefined ? undefined : open(below, DIRECTORY);
  return walk(root, lower, 0);
}

/** Below, all counts as the container's own: it may go deeper than there are descriptors, an image hardly does. */
const MAX_COMPARED_DEPTH = 256;

/**
 * The names that were added, changed or removed, sorted by path: what `ctr diff` tells. A directory is changed with its
 * owner, its mode or what is in it.
 */
export function changedPaths(
  tree: string,
  below: string | undefined,
): { readonly kind: "A" | "C" | "D"; readonly path: string }[] {
  const madeNs = madeAt(tree);
  const changes: { readonly kind: "A" | "C" | "D"; readonly path: string }[] = [];
  const visit = (directory: Fd, lower: Fd | undefined, { name, stat, lowerStat }: Pair, path: string): boolean => {
    let isChanged = stat === undefined;
    if (stat !== undefined && kindOf(stat) === S_IFDIR) {
      using child = openat(directory.number, name, DIRECTORY);
      using lowerChild = openBelow(lower, name, lowerStat);
      const isSame = lowerStat === undefined ? stat.ctimeNs < madeNs : isAlike(stat, lowerStat);
      isChanged = walk(child, lowerChild, path) || !isSame;
    } else if (stat !== undefined) {
      isChanged = !(lowerStat === undefined
        ? stat.ctimeNs < madeNs
        : isUnchanged(madeNs, directory, lower, name, stat, lowerStat));
    }
    if (isChanged) changes.push({ kind: stat === undefined ? "D" : lowerStat === undefined ? "A" : "C", path });
    return isChanged;
  };
  const walk = (directory: Fd, lower: Fd | undefined, path: string): boolean => {
    let isChanged = false;
    for (const pair of namesOf(directory, lower))
      if (visit(directory, lower, pair, `${path}/${new TextDecoder().decode(pair.name)}`)) isChanged = true;
    return isChanged;
  };
  using root = open(tree, DIRECTORY);
  using lower = below === undefined ? undefined : open(below, DIRECTORY);
  walk(root, lower, "");
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** One directory's entries; returns how many of its names were left out by `exclude`. */
function* diffDirectory(
  comparison: Comparison,
  directory: Fd,
  lower: Fd | undefined,
  names: readonly Uint8Array[],
): Generator<DiffEntry, number, undefined> {
  let excluded = 0;
  for (const { name, stat, lowerStat } of namesOf(directory, lower)) {
    const path = [...names, name];
    const full = joined(path);
    if (stat === undefined) {
      if (lowerStat !== undefined) yield removedEntry(names, name, lowerStat);
      continue;
    }
    const isExcluded = comparison.exclude(new TextDecoder().decode(full), stat);
    if (kindOf(stat) === S_IFDIR) {
      using child = openat(directory.number, name, DIRECTORY);
      using lowerChild = openBelow(lower, name, lowerStat);
      if (yield* diffChild(comparison, child, lowerChild, path, full, stat, isExcluded)) excluded++;
    } else if (isExcluded || isOwn(comparison, stat, lowerStat)) excluded++;
    else if (lowerStat === undefined || !isUnchanged(comparison.madeNs, directory, lower, name, stat, lowerStat))
      yield* fileEntry(comparison, directory, name, full, stat);
  }
  return excluded;
}

function isOwn({ madeNs }: Comparison, stat: Stat, lowerStat: Stat | undefined): boolean {
  return lowerStat === undefined && stat.ctimeNs < madeNs;
}

/** A directory and what it holds, as `walkChild` of diff.ts: true if nothing of it went out because it was left out. */
function* diffChild(
  comparison: Comparison,
  child: Fd,
  lower: Fd | undefined,
  path: readonly Uint8Array[],
  full: Uint8Array,
  stat: Stat,
  isExcluded: boolean,
): Generator<DiffEntry, boolean, undefined> {
  const header = directoryEntry(child, full, stat);
  const inside = diffDirectory(comparison, child, lower, path);
  let next = inside.next();
  if (next.done === true) {
    const lowerStat = lower === undefined ? undefined : fstat(lower.number);
    if (lowerStat === undefined) {
      if (isExcluded || isOwn(comparison, stat, lowerStat)) return true;
    } else {
      const hasItsAttributes =
        isAlike(stat, lowerStat) && (stat.ctimeNs < comparison.madeNs || sameXattrs(child, lower));
      if (hasItsAttributes && (isExcluded || next.value > 0)) return true;
      if (hasItsAttributes && (stat.ctimeNs < comparison.madeNs || stat.mtimeNs === lowerStat.mtimeNs)) return false;
    }
  }
  yield header;
  for (; next.done !== true; next = inside.next()) yield next.value;
  return false;
}

interface Pair {
  readonly name: Uint8Array;
  readonly stat: Stat | undefined;
  readonly lowerStat: Stat | undefined;
}

/** Every name of both directories, sorted, with what it is in each. */
function namesOf(directory: Fd, lower: Fd | undefined): readonly Pair[] {
  const key = (name: Uint8Array) => Buffer.from(name).toString("latin1");
  const own = getdents64At(directory);
  const ownKeys = new Set(own.map(key));
  const others = lower === undefined ? [] : getdents64At(lower);
  const lowerKeys = new Set(others.map(key));
  return [...own, ...others.filter((name) => !ownKeys.has(key(name)))]
    .sort((a, b) => Buffer.compare(a, b))
    .map((name) => ({
      name,
      stat: ownKeys.has(key(name)) ? statx(directory.number, name) : undefined,
      lowerStat: lower !== undefined && lowerKeys.has(key(name)) ? statx(lower.number, name) : undefined,
    }));
}

/** Read through a descriptor of its own: the position of the other one is nobody's. */
function getdents64At(directory: Fd): Uint8Array[] {
  using listed = openat(directory.number, ".", O_RDONLY | O_DIRECTORY);
  return getdents64(listed.number).map(({ name }) => name);
}

function openBelow(lower: Fd | undefined, name: Uint8Array, stat: Stat | undefined): Fd | undefined {
  if (lower === undefined || stat === undefined || kindOf(stat) !== S_IFDIR) return undefined;
  return openat(lower.number, name, DIRECTORY);
}

function kindOf(stat: Stat): number {
  return stat.mode & S_IFMT;
}

function isAlike(a: Stat, b: Stat): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}

/** True if a name that both have is the same file in both: told by its ctime, or by everything a layer would say of it. */
function isUnchanged(
  madeNs: bigint,
  directory: Fd,
  lower: Fd | undefined,
  name: Uint8Array,
  stat: Stat,
  lowerStat: Stat,
): boolean {
  if (lower === undefined || !isAlike(stat, lowerStat)) return false;
  if (stat.rdevMajor !== lowerStat.rdevMajor || stat.rdevMinor !== lowerStat.rdevMinor) return false;
  // A new name of a file makes both names entries, as they would be in an upper directory.
  if (stat.size !== lowerStat.size || stat.nlink !== lowerStat.nlink) return false;
  if (stat.ctimeNs < madeNs) return true;
  if (stat.mtimeNs !== lowerStat.mtimeNs) return false;
  const kind = kindOf(stat);
  if (kind === S_IFLNK) return Buffer.compare(readlinkat(directory.number, name), readlinkat(lower.number, name)) === 0;
  if (!samePathXattrs(insideOf(directory, name), insideOf(lower, name))) return false;
  return kind !== S_IFREG || sameContent(directory, lower, name);
}

const CHUNK = 1 << 20;

function sameContent(directory: Fd, lower: Fd, name: Uint8Array): boolean {
  using a = openat(directory.number, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  using b = openat(lower.number, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const [left, right] = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
  for (;;) {
    const sizes = [read(a.number, left), read(b.number, right)] as const;
    if (sizes[0] !== sizes[1]) return false;
    if (sizes[0] === 0) return true;
    if (Buffer.compare(left.subarray(0, sizes[0]), right.subarray(0, sizes[1])) !== 0) return false;
  }
}

function sameXattrs(a: Fd, b: Fd | undefined): boolean {
  return (
    b !== undefined && samePathXattrs(encode(`/proc/self/fd/${a.number}/.`), encode(`/proc/self/fd/${b.number}/.`))
  );
}

function samePathXattrs(a: Uint8Array, b: Uint8Array): boolean {
  const names = (path: Uint8Array) =>
    llistxattr(path)
      .filter((name) => !isPrivateXattr(name))
      .sort();
  const [left, right] = [names(a), names(b)];
  if (left.length !== right.length) return false;
  return left.every((name, at) => {
    const [x, y] = [lgetxattr(a, name), lgetxattr(b, name)];
    return right[at] === name && x !== undefined && y !== undefined && Buffer.compare(x, y) === 0;
  });
}

function insideOf(directory: Fd, name: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.number}/`), name]);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
