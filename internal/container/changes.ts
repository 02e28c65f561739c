/**
 * `diff`: what a container changed of its image's files, as Docker tells it (moby pkg/archive `ChangesDirs`): a file that
 * was only copied up is no change, nor is a directory whose time alone is another.
 */
import type { Engine } from "../db/engine.ts";
import { ELOOP, ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { changedPaths } from "../snapshot/diff-trees.ts";
import { isFlat } from "../snapshot/flat.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { LowerLayers } from "../snapshot/lower-lookup.ts";
import { isOpaque, isWhiteout } from "../snapshot/overlay.ts";
import { placeholderLayer } from "../snapshot/placeholders.ts";
import { type Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, open, openat } from "../sys/fd.ts";
import { fgetxattr, getdents64, lgetxattr, S_IFDIR, S_IFMT, S_IFREG, type Stat, statx } from "../sys/file.ts";
import { currentContainer } from "./control.ts";
import { anySnapshot } from "./flat-root.ts";

/** Added, changed, deleted. */
export interface Change {
  readonly kind: "A" | "C" | "D";
  /** From the root; the bytes as UTF-8. */
  readonly path: string;
}

/** The changes of a container, sorted by path. It may run meanwhile. */
export function changesOf(engine: Engine, nameOrId: string): Change[] {
  const record = currentContainer(engine, nameOrId);
  const lower = lowerDirectories(engine, record.layers);
  // One that never ran has none yet.
  const { upper } = anySnapshot(engine, record);
  if (isFlat(upper)) return changedPaths(upper, lower[0]);
  using layers = new LowerLayers([...lower, placeholderLayer(engine.root)]);
  using root = open(upper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const changes: Change[] = [];
  walk({ layers, changes }, root, [], true);
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

interface Walk {
  readonly layers: LowerLayers;
  readonly changes: Change[];
}

type Names = readonly Uint8Array[];

/** The changes inside a directory of the upper layer; true if there are any. `hasBelow`: the image has it too. */
function walk(context: Walk, directory: Fd, names: Names, hasBelow: boolean): boolean {
  const entries = getdents64(directory.number);
  let isChanged = false;
  for (const { name } of entries) {
    if (visit(context, directory, [...names, name], name, hasBelow)) isChanged = true;
  }
  if (hasBelow && isOpaque(directory.number)) {
    const kept = new Set(entries.map(({ name }) => textOf([name])));
    for (const name of namesBelow(context.layers, names)) {
      if (kept.has(textOf([name]))) continue;
      note(context, "D", [...names, name]);
      isChanged = true;
    }
  }
  return isChanged;
}

function visit(context: Walk, directory: Fd, names: Names, name: Uint8Array, hasBelow: boolean): boolean {
  const stat = statx(directory.number, name);
  const below = hasBelow ? statBelow(context.layers, names) : undefined;
  if (isWhiteout(stat)) {
    if (below !== undefined) note(context, "D", names);
    return below !== undefined;
  }
  const isDirectory = isKind(stat, S_IFDIR);
  const wasDirectory = below !== undefined && isKind(below.stat, S_IFDIR);
  let isChanged =
    below === undefined ||
    differs(stat, below.stat) ||
    (!isDirectory && below.capability !== capabilityOf(directory, name));
  if (isDirectory) {
    using child = openat(directory.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (walk(context, child, names, wasDirectory)) isChanged = true;
  }
  if (isChanged) note(context, below === undefined ? "A" : "C", names);
  return isChanged;
}

function differs(stat: Stat, below: Stat): boolean {
  if (stat.mode !== below.mode || stat.uid !== below.uid || stat.gid !== below.gid) return true;
  if (stat.rdevMajor !== below.rdevMajor || stat.rdevMinor !== below.rdevMinor) return true;
  return !isKind(stat, S_IFDIR) && (stat.mtimeNs !== below.mtimeNs || stat.size !== below.size);
}

function isKind(stat: Stat, kind: number): boolean {
  return (stat.mode & S_IFMT) === kind;
}

function statBelow(
  layers: LowerLayers,
  names: Names,
): { readonly stat: Stat; readonly capability: string | undefined } | undefined {
  const found = layers.find(names);
  if (found === undefined) return undefined;
  using place = found.fd;
  return { stat: found.stat, capability: isKind(found.stat, S_IFREG) ? capabilityBehind(place) : undefined };
}

/** Through the descriptor's link, which lgetxattr(2) would take for the file itself. */
function capabilityBehind(place: Fd): string | undefined {
  using file = open(`/proc/self/fd/${place.number}`, O_RDONLY);
  return fgetxattr(file.number, "security.capability")?.toHex();
}

function capabilityOf(directory: Fd, name: Uint8Array): string | undefined {
  const path = Buffer.concat([Buffer.from(`/proc/self/fd/${directory.number}/`), name]);
  return lgetxattr(path, "security.capability")?.toHex();
}

/** What the layers below have in a directory, merged. */
function namesBelow(layers: LowerLayers, names: Names): Uint8Array[] {
  const found = new Map<string, Uint8Array>();
  for (const root of layers.roots()) {
    using directory = openBelow(root, names);
    if (directory === undefined) continue;
    for (const { name } of getdents64(directory.number)) found.set(textOf([name]), name);
  }
  // A name may be hidden by a layer in between.
  return [...found.values()].filter((name) => statBelow(layers, [...names, name]) !== undefined);
}

function openBelow(root: number, names: Names): Fd | undefined {
  let directory = openat(root, ".", O_RDONLY | O_DIRECTORY);
  for (const name of names) {
    using parent = directory;
    const next = openDirectory(parent, name);
    if (next === undefined) return undefined;
    directory = next;
  }
  return directory;
}

function openDirectory(parent: Fd, name: Uint8Array): Fd | undefined {
  try {
    return openat(parent.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR, ELOOP)) return undefined;
    throw error;
  }
}

function note({ changes }: Walk, kind: Change["kind"], names: Names): void {
  changes.push({ kind, path: `/${names.map((name) => new TextDecoder().decode(name)).join("/")}` });
}

/** Bytes as text of the same length: a key. */
function textOf(names: Names): string {
  return names.map((name) => Buffer.from(name).toString("latin1")).join("/");
}
