/**
 * The mounts of a container, made with the mount API of kernel 5.2: each file system is made detached, and attached
 * through a descriptor of its place that was resolved inside the root. Nothing is found twice by its name.
 */
import {
  CtrError,
  EINVAL,
  ELOOP,
  ENODEV,
  ENOSYS,
  ENOTDIR,
  isErrno,
  SyscallError,
  withContext,
} from "../errors/error.ts";
import type { Mount } from "../spec/runtime.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, Fd, O_DIRECTORY, O_PATH, open } from "../sys/fd.ts";
import {
  fstat,
  fstatfsType,
  openat2,
  PROC_SUPER_MAGIC,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFMT,
} from "../sys/file.ts";
import {
  attachMount,
  fsconfigCreate,
  fsconfigSet,
  fsmount,
  fsopen,
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
  mount,
  mountSetattr,
  OPEN_TREE_CLONE,
  openTree,
} from "../sys/mount.ts";
import { attachInRoot, attachOver, insideProc, refuseProcfs } from "./attach.ts";
import { mountCgroups, type PreparedCgroups, prepareCgroups } from "./cgroup-mounts.ts";
import { copyInto, copyUp } from "./copy-up.ts";
import { inSupervisorsNetwork } from "./host-network.ts";
import { quotedForString } from "./mount-label.ts";
import { changes, type MountOptions, parseMountOptions } from "./mount-options.ts";
import { mountOverlayByString, splitLayers } from "./overlay-mount.ts";
import { remountInRoot } from "./remount.ts";
import { makeDirectoryInRoot, makeFileInRoot, openInRoot, tryOpenInRoot } from "./resolve.ts";
import { cloneFromProcess } from "./shared-mount.ts";

/** Cuts this mount namespace off from the host's: what is mounted here stays here. */
export function isolateMounts(propagation: string | undefined): void {
  // slave: with rslave or rshared in the spec the host's later mounts still arrive; private otherwise.
  const word = propagation ?? "rprivate";
  mount(
    "none",
    "/",
    "",
    MS_REC | (word === "rslave" || word === "rshared" || word === "shared" || word === "slave" ? MS_SLAVE : MS_PRIVATE),
  );
}

/**
 * Mounts the root file system on `path` and returns its descriptor: an overlay when the first mount of the spec is one
 * for "/", otherwise `path` itself as a mount of its own (pivot_root(2) needs one).
 */
export function mountRoot(path: string, first: Mount | undefined): Fd {
  const { tree: given } = parseMountOptions(first?.options ?? []);
  if (given !== undefined) {
    // On top of the root that this process has and looks for paths in: the place itself may be closed to it.
    using root = open("/", O_PATH | O_DIRECTORY);
    attachMount(given, root.number, path);
    return new Fd(given);
  }
  if (first?.type === "overlay") return mountOverlay(path, first);
  using place = open(path, O_PATH | O_DIRECTORY);
  const tree =
    first === undefined
      ? openTree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE)
      : makeFileSystem(first.type ?? "", first.source ?? "", first.options ?? []);
  attachMount(tree.number, place.number, path);
  return tree;
}

/**
 * overlayfs takes any number of layers one by one since kernel 6.5 (`lowerdir+`). Before, all of them must fit in the
 * one page that mount(2) passes on (fsconfig(2) takes no more than 256 bytes), see overlay-mount.ts.
 */
export function mountOverlay(path: string, spec: Mount): Fd {
  const options = parseMountOptions(spec.options ?? []);
  using fs = fsopen("overlay");
  try {
    for (const word of options.data) {
      const [key, value] = keyValue(word);
      if (key !== "lowerdir" || value === undefined) fsconfigSet(fs.number, key, value);
      else for (const layer of splitLayers(value)) fsconfigSet(fs.number, "lowerdir+", layer);
    }
    // A kernel that passes unknown words on to an old overlayfs (6.1 does) refuses them only here.
    fsconfigCreate(fs.number, "overlay");
  } catch (error) {
    if (!isErrno(error, EINVAL)) throw error;
    return mountOldOverlay(path, options.data.map(quotedForString));
  }
  using place = open(path, O_PATH | O_DIRECTORY);
  const tree = fsmount(fs.number, options.set);
  attachMount(tree.number, place.number, path);
  return tree;
}

/** Before kernel 5.10 there is no `volatile`, which changes only what a crash of the machine leaves. */
function mountOldOverlay(path: string, data: readonly string[]): Fd {
  try {
    return mountOverlayByString(path, data);
  } catch (error) {
    const others = data.filter((word) => word !== "volatile");
    if (!isErrno(error, EINVAL) || others.length === data.length) throw error;
    return mountOverlayByString(path, others);
  }
}

/**
 * File systems made before the spec is known, detached and seen by nobody: what nearly every container mounts is there
 * when the spec arrives, and only has to be attached.
 */
export class PreparedMounts {
  readonly #trees = new Map<string, Fd>();
  readonly #sources = new Map<Mount, Fd>();
  readonly #open: Fd[] = [];
  #cgroups: PreparedCgroups | undefined;

  /** Makes the file system of one mount. One that cannot be made is left out: the real mount will say why. */
  prepare(spec: Mount): void {
    try {
      if (spec.type === "cgroup") this.#cgroups = prepareCgroups();
      else this.#trees.set(keyOf(spec), makeFileSystem(spec.type ?? "", spec.source ?? "", spec.options ?? []));
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
  }

  /** The file system of a mount with exactly these words, once. */
  take(spec: Mount): Fd | undefined {
    const key = keyOf(spec);
    const tree = this.#trees.get(key);
    this.#trees.delete(key);
    return tree;
  }

  /**
   * Clones what must be cloned before the namespace is cut off from the host's: the sources of binds that stay connected to
   * the host's mounts (`rshared`, `rslave`; a clone is in the group of what it is cloned from), and file systems that
   * another container has mounted. What this process was started with is there already.
   */
  openSources(mounts: readonly Mount[]): void {
    for (const mount of mounts) {
      const options = parseMountOptions(mount.options ?? []);
      if (options.tree !== undefined) {
        if (mount.destination !== "/") this.#sources.set(mount, new Fd(options.tree));
        continue;
      }
      const shared = cloneShared(options);
      if (shared !== undefined) this.#sources.set(mount, shared);
      if (options.bind === "no" || (options.propagation !== MS_SHARED && options.propagation !== MS_SLAVE)) continue;
      this.#sources.set(mount, openSource(mount, options));
    }
  }

  takeSource(spec: Mount): Fd | undefined {
    return this.#sources.get(spec);
  }

  /** Keeps a file system of the container's own to be made read-only when everything below it has its place. */
  closeLater(tree: Fd): void {
    this.#open.push(tree);
  }

  /** Makes those read-only. */
  close(): void {
    for (const tree of this.#open.splice(0)) {
      mountSetattr(tree.number, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY });
      tree.close();
    }
  }

  takeCgroups(): PreparedCgroups {
    const cgroups = this.#cgroups ?? prepareCgroups();
    this.#cgroups = undefined;
    return cgroups;
  }
}

/** What another container has mounted already, if one still has. */
export function cloneShared({ sharedWith, set }: MountOptions): Fd | undefined {
  for (const { pid, startTime, destination } of sharedWith ?? []) {
    const clone = cloneFromProcess(pid, startTime, destination);
    if (clone === undefined) continue;
    // The other may have it read-only.
    mountSetattr(clone.number, "", AT_EMPTY_PATH, { set, clear: MOUNT_ATTR_RDONLY & ~set });
    return clone;
  }
  return undefined;
}

function keyOf({ type, source, options }: Mount): string {
  return `${type} ${source} ${options?.join(",")}`;
}

/** Makes one mount of the spec inside the root. */
export function mountInRoot(root: number, spec: Mount, prepared: PreparedMounts): void {
  const options = parseMountOptions(spec.options ?? []);
  refuseBelowProc(spec, options);
  if (options.isRemount === true) {
    remountInRoot(root, spec, options);
    return;
  }
  if (options.bind !== "no" || spec.type === "bind") {
    bindInRoot(root, spec, options, prepared);
    return;
  }
  if (options.subdirectory !== undefined) {
    throw new CtrError("unsupported", "a subpath of a volume that is a file system of its own cannot be mounted");
  }
  const words = wordsAt(root, spec);
  using target = openTarget(root, spec);
  if (spec.type === "cgroup") {
    const isReadonly = (options.set & MOUNT_ATTR_RDONLY) !== 0;
    const top = mountCgroups(target.number, spec.destination, isReadonly, prepared.takeCgroups());
    if (top !== undefined) prepared.closeLater(top);
    return;
  }
  using tree =
    prepared.takeSource(spec) ??
    prepared.take(spec) ??
    makeFileSystem(spec.type ?? "", spec.source ?? spec.type ?? "", words);
  if (options.copyUpMark !== undefined) copyUp(root, spec.destination, tree, options.copyUpMark);
  const isClosedLater = spec.type === "tmpfs" && (options.set & MOUNT_ATTR_RDONLY) !== 0;
  if (isClosedLater) mountSetattr(tree.number, "", AT_EMPTY_PATH, { clear: MOUNT_ATTR_RDONLY });
  if (options.isCopiedUp === true) copyInto(root, spec.destination, tree, modeOf(spec));
  if (spec.type === "proc" && fstatfsType(tree.number) !== PROC_SUPER_MAGIC)
    throw new CtrError("internal", "the new procfs is not one");
  attachInRoot(root, tree.number, target.number, spec.destination);
  if (isClosedLater) prepared.closeLater(new Fd(tree.take()));
}

/** What `mode=` says. */
function modeOf({ options = [] }: Mount): number | undefined {
  const digits = options.findLast((word) => word.startsWith(MODE))?.slice(MODE.length);
  return digits === undefined || !/^[0-7]{1,5}$/.test(digits) ? undefined : Number.parseInt(digits, 8);
}

const MODE = "mode=";

/** A tmpfs over a directory that is there has that one's mode unless it says another, as with runc; else the kernel's 1777. */
function wordsAt(root: number, { type, destination, options = [] }: Mount): readonly string[] {
  if (type !== "tmpfs" || options.some((word) => word.startsWith(MODE))) return options;
  using place = tryOpenInRoot(root, destination);
  return place === undefined ? options : [...options, `mode=${(fstat(place.number).mode & 0o7777).toString(8)}`];
}

/** The directory to mount on. procfs and sysfs have their own names only: a link there would put them where no mask is. */
function openTarget(root: number, { type, destination }: Mount): Fd {
  using target = makeDirectoryInRoot(root, destination);
  refuseProcfs(target.number, destination);
  if (type !== "proc" && type !== "sysfs") return new Fd(target.take());
  try {
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
    return openat2(root, destination, { flags: O_PATH | O_DIRECTORY, resolve });
  } catch (error) {
    if (!isErrno(error, ELOOP)) throw error;
    throw new CtrError("invalid", `filesystem "${type}" must be mounted on ordinary directory`, { cause: error });
  }
}

/** runc's rule: nothing but procfs itself goes on /proc, and nothing below it but lxcfs's files; here, nothing at all. */
function refuseBelowProc(spec: Mount, options: MountOptions): void {
  const path = `/${spec.destination
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/")}`;
  const isProc = path === "/proc" && spec.type === "proc";
  const isHostProc = path === "/proc" && options.bind !== "no" && spec.source === "/proc";
  if ((path === "/proc" || path.startsWith("/proc/")) && !isProc && !isHostProc) {
    throw insideProc(spec.destination);
  }
}

/** A new, detached file system with the mount attributes and the data of its options. */
export function makeFileSystem(type: string, source: string, words: readonly string[]): Fd {
  return OF_THE_NETWORK.test(type)
    ? inSupervisorsNetwork(() => makeFileSystemHere(type, source, words))
    : makeFileSystemHere(type, source, words);
}

/** File systems that speak over the network namespace they are made in: the host's, as it is the host that mounts. */
const OF_THE_NETWORK = /^(nfs4?|cifs|smb3|ceph|9p)$/;

function makeFileSystemHere(type: string, source: string, words: readonly string[]): Fd {
  const options = parseMountOptions(words);
  using fs = openFileSystem(type);
  if (source !== "") fsconfigSet(fs.number, "source", source);
  for (const word of options.data) {
    const [key, value] = keyValue(word);
    fsconfigSet(fs.number, key, value);
  }
  // A read-only tmpfs is filled before it is closed; only its mount is read-only, never its superblock.
  fsconfigCreate(fs.number, source);
  return fsmount(fs.number, options.set);
}

function openFileSystem(type: string): Fd {
  try {
    return fsopen(type);
  } catch (error) {
    if (!isErrno(error, ENODEV)) throw error;
    throw new CtrError("unsupported", `file systems of type ${type} are not known to this kernel`, { cause: error });
  }
}

function keyValue(word: string): readonly [key: string, value: string | undefined] {
  const equals = word.indexOf("=");
  return equals < 0 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
}

/** A bind mount: a detached clone of the source, its attributes changed while nobody sees it, then attached. */
function bindInRoot(root: number, spec: Mount, options: MountOptions, prepared: PreparedMounts): void {
  using tree = prepared.takeSource(spec) ?? openSource(spec, options);
  const isDirectory = (fstat(tree.number).mode & S_IFMT) === S_IFDIR;
  if (options.copyUpMark !== undefined && isDirectory) copyUp(root, spec.destination, tree, options.copyUpMark);
  const { set, clear, recursiveSet, recursiveClear } = options;
  if (recursiveSet !== 0 || recursiveClear !== 0) {
    mountSetattr(tree.number, "", AT_EMPTY_PATH | AT_RECURSIVE, changes(recursiveSet, recursiveClear));
  }
  if (set !== 0 || clear !== 0) mountSetattr(tree.number, "", AT_EMPTY_PATH, changes(set, clear));
  setPropagation(tree, options);
  try {
    using target = isDirectory ? makeDirectoryInRoot(root, spec.destination) : makeFileInRoot(root, spec.destination);
    attachInRoot(root, tree.number, target.number, spec.destination);
  } catch (error) {
    // move_mount(2): EINVAL for a file on a directory too, which by itself says nothing.
    if (!isErrno(error, ENOTDIR) && !(isErrno(error, EINVAL) && !isDirectory)) throw error;
    throw new CtrError(
      "invalid",
      `mount ${spec.source} on ${spec.destination}: not a directory: ` +
        "Are you trying to mount a directory onto a file (or vice-versa)?",
      { cause: error },
    );
  }
}

/** Below a slave and below a private mount nothing is shared with the host either. */
function setPropagation(tree: Fd, options: MountOptions): void {
  const { isPropagationRecursive, propagation: wanted } = options;
  const propagation = wanted === 0 ? MS_PRIVATE : wanted;
  const isRecursive = isPropagationRecursive || propagation === MS_PRIVATE || propagation === MS_SLAVE;
  mountSetattr(tree.number, "", AT_EMPTY_PATH | (isRecursive ? AT_RECURSIVE : 0), { propagation });
}

/** A detached clone of a bind's source. */
export function openSource(spec: Mount, { bind, subdirectory }: MountOptions): Fd {
  const source = spec.source ?? "";
  const flags = OPEN_TREE_CLONE | (bind === "recursive" ? AT_RECURSIVE : 0);
  try {
    if (subdirectory === undefined) return openTree(AT_FDCWD, source, flags);
    using volume = open(source, O_PATH | O_DIRECTORY);
    using inside = openSubdirectory(volume.number, subdirectory);
    return openTree(inside.number, "", flags | AT_EMPTY_PATH);
  } catch (error) {
    if (isErrno(error, ENOSYS))
      throw new CtrError("unsupported", "bind mounts need kernel 5.2 or newer", { cause: error });
    throw error;
  }
}

/** Containers write to a volume: its links lead nowhere but to places inside it. */
function openSubdirectory(volume: number, path: string): Fd {
  try {
    return openInRoot(volume, path);
  } catch (error) {
    throw withContext("subpath of the volume", error);
  }
}

/** Makes paths read-only by binding each on itself; what is not there is passed over. */
export function makeReadonly(root: number, paths: readonly string[]): void {
  for (const path of paths) {
    using place = tryOpenInRoot(root, path);
    if (place === undefined) continue;
    using tree = openTree(place.number, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
    mountSetattr(tree.number, "", AT_EMPTY_PATH | AT_RECURSIVE, { set: MOUNT_ATTR_RDONLY });
    attachOver(root, tree.number, place.number, path);
  }
}

const EMPTY_TMPFS = ["ro", "nosuid", "nodev", "noexec", "size=0k", "nr_inodes=2", "mode=755"];

/**
 * Masks paths: a directory by an empty read-only tmpfs, anything else by the null device, of which `nullDevice` is a
 * descriptor that was checked.
 */
export function maskPaths(root: number, paths: readonly string[], nullDevice: number): void {
  let empty: Fd | undefined;
  try {
    for (const path of paths) {
      using place = tryOpenInRoot(root, path);
      if (place === undefined) continue;
      if ((fstat(place.number).mode & S_IFMT) === S_IFDIR) {
        if (empty !== undefined) {
          using mask = openTree(empty.number, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
          attachOver(root, mask.number, place.number, path);
          continue;
        }
        // Attached before it is cloned: open_tree(2) clones a detached mount only since kernel 6.15.
        empty = makeFileSystem("tmpfs", "tmpfs", EMPTY_TMPFS);
        attachOver(root, empty.number, place.number, path);
      } else {
        using mask = openTree(nullDevice, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
        attachOver(root, mask.number, place.number, path);
      }
    }
  } finally {
    empty?.close();
  }
}

/** Makes the root file system's own mount read-only (`--read-only`), after everything in it has its place. */
export function makeRootReadonly(root: number): void {
  mountSetattr(root, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY });
}

/** The root's propagation as the spec asks; without that everything is private, but for binds that are not to be. */
export function setRootPropagation(root: number, word: string | undefined): void {
  if (word === undefined) return;
  const plain = word.replace(/^r/, "");
  // Private or slave it is since `isolateMounts`, and what is mounted in it has its own word.
  if (plain === "private" || plain === "slave") return;
  const propagation = plain === "shared" ? MS_SHARED : MS_UNBINDABLE;
  mountSetattr(root, "", AT_EMPTY_PATH | (word.startsWith("r") ? AT_RECURSIVE : 0), { propagation });
}
