/**
 * The whole tree that layers make together, as entries of an archive: what overlayfs would show, read without mounting
 * anything. So it works on every kernel, also beside a container that runs on the topmost layer.
 */
import { ELOOP, ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { type Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../sys/fd.ts";
import { getdents64, S_IFDIR, S_IFMT, type Stat, statx } from "../sys/file.ts";
import { type DiffEntry, directoryEntry, fileEntry, joined } from "./diff.ts";
import { LowerLayers } from "./lower-lookup.ts";
import { isOpaque, isWhiteout } from "./overlay.ts";

/**
 * The entries of the merged layers (topmost first), in the order of their names, directories before what they hold; the
 * root itself is none. What goes away while it is read is left out.
 */
export async function* mergedTree(layers: readonly string[]): AsyncGenerator<DiffEntry, void, undefined> {
  using lower = new LowerLayers(layers);
  for (const entry of mergedDirectory(lower.rootFds(), [], new Map())) yield entry;
}

interface Found {
  readonly directory: Fd;
  /** Its place among the directories that are merged here. */
  readonly at: number;
  readonly name: Uint8Array;
  readonly stat: Stat;
}

function* mergedDirectory(
  directories: readonly Fd[],
  names: readonly Uint8Array[],
  links: Map<bigint, Uint8Array>,
): Generator<DiffEntry, void, undefined> {
  const found = [...namesOf(directories).values()].sort((a, b) => Buffer.compare(a.name, b.name));
  for (const { directory, at, name, stat } of found) {
    if (isWhiteout(stat)) continue;
    const path = [...names, name];
    if ((stat.mode & S_IFMT) !== S_IFDIR) {
      yield* unlessGone(() => fileEntry({ links }, directory, name, joined(path), stat));
      continue;
    }
    using stack = new DisposableStack();
    const merged: Fd[] = [];
    for (const parent of directories.slice(at)) {
      const child = openDirectory(parent, name);
      if (child === "absent") continue;
      if (child === "hidden") break;
      merged.push(stack.use(child));
      if (isOpaque(child.number)) break;
    }
    const [top] = merged;
    if (top === undefined) continue;
    yield directoryEntry(top, joined(path), stat);
    yield* mergedDirectory(merged, path, links);
  }
}

/** Every name of the directories with the topmost layer's file of it; names are compared as bytes. */
function namesOf(directories: readonly Fd[]): ReadonlyMap<string, Found> {
  const found = new Map<string, Found>();
  for (const [at, directory] of directories.entries()) {
    for (const { name } of getdents64(directory.number)) {
      const key = Buffer.from(name).toString("latin1");
      if (found.has(key)) continue;
      const stat = statOf(directory, name);
      if (stat !== undefined) found.set(key, { directory, at, name, stat });
    }
  }
  return found;
}

function statOf(directory: Fd, name: Uint8Array): Stat | undefined {
  try {
    return statx(directory.number, name);
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined; // removed since it was listed
    throw error;
  }
}

/** A directory below; `hidden` where this layer has something else of that name: then nothing below it shows. */
function openDirectory(parent: Fd, name: Uint8Array): Fd | "absent" | "hidden" {
  try {
    return openat(parent.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT)) return "absent";
    if (isErrno(error, ENOTDIR, ELOOP)) return "hidden";
    throw error;
  }
}

function* unlessGone(entries: () => Generator<DiffEntry, void>): Generator<DiffEntry, void> {
  try {
    yield* entries();
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
  }
}
