/** The words of a mount's options (mount(8), runtime-spec config.md#mounts) as the kernel's flags. */
import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from "../sys/mount.ts";

/** Where a process has a file system mounted. */
export interface SharedPlace {
  readonly pid: number;
  readonly startTime: number;
  readonly destination: string;
}

export interface MountOptions {
  /** `bind` or `rbind`. */
  readonly bind: "no" | "one" | "recursive";
  /** MOUNT_ATTR_… of this mount, to set and to clear. */
  readonly set: number;
  readonly clear: number;
  /** The same for the mounts below it too (`rro`, `rnosuid`, …). */
  readonly recursiveSet: number;
  readonly recursiveClear: number;
  /** MS_PRIVATE and its like, or 0 to leave. */
  readonly propagation: number;
  readonly isPropagationRecursive: boolean;
  /** Of what is mounted only this directory (`X-mount.subdir=` of mount(8)). */
  readonly subdirectory?: string;
  /**
   * Beforehand an empty source takes what the image has at the destination; this file says that a copy was cut off
   * (`X-ctr.copy-up=`, this engine's own word).
   */
  readonly copyUpMark?: string;
  /** A new tmpfs begins with what is at its destination (`tmpcopyup`, runtime-spec config.md#linux-mount-options). */
  readonly isCopiedUp?: true;
  /** What is mounted at the destination is to have these options. */
  readonly isRemount?: true;
  /** Processes that have the file system mounted already, each with its start time and place (`X-ctr.shared-with=`). */
  readonly sharedWith?: readonly SharedPlace[];
  /** Files are shown with the owners that a user namespace gives them (`idmap`, with the mounts below `ridmap`). */
  readonly idMap: "no" | "one" | "recursive";
  /** The descriptor of the mount, made already by who started this process (`X-ctr.tree=`). */
  readonly tree?: number;
  /** What is left is the file system's own: `size=64m`. */
  readonly data: readonly string[];
}

/** word → [attribute to set, attribute to clear] */
const ATTRIBUTES: { readonly [word: string]: readonly [set: number, clear: number] } = {
  ro: [MOUNT_ATTR_RDONLY, 0],
  rw: [0, MOUNT_ATTR_RDONLY],
  nosuid: [MOUNT_ATTR_NOSUID, 0],
  suid: [0, MOUNT_ATTR_NOSUID],
  nodev: [MOUNT_ATTR_NODEV, 0],
  dev: [0, MOUNT_ATTR_NODEV],
  noexec: [MOUNT_ATTR_NOEXEC, 0],
  exec: [0, MOUNT_ATTR_NOEXEC],
  noatime: [MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME],
  atime: [0, MOUNT_ATTR__ATIME],
  relatime: [0, MOUNT_ATTR__ATIME],
  norelatime: [MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME],
  strictatime: [MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME],
  nostrictatime: [0, MOUNT_ATTR__ATIME],
  nodiratime: [MOUNT_ATTR_NODIRATIME, 0],
  diratime: [0, MOUNT_ATTR_NODIRATIME],
  nosymfollow: [MOUNT_ATTR_NOSYMFOLLOW, 0],
  symfollow: [0, MOUNT_ATTR_NOSYMFOLLOW],
};

const PROPAGATION: { readonly [word: string]: number } = {
  private: MS_PRIVATE,
  slave: MS_SLAVE,
  shared: MS_SHARED,
  unbindable: MS_UNBINDABLE,
};

/** What says nothing to the mount API: defaults, and flags of mount(2) that it has no word for. */
const PASSED_OVER: ReadonlySet<string> = new Set([
  "",
  "defaults",
  "async",
  "rprivate-default",
  "silent",
  "loud",
  "iversion",
  "noiversion",
  "nomand",
]);

const SUBDIRECTORY = "X-mount.subdir=";
const COPY_UP = "X-ctr.copy-up=";
const SHARED_WITH = "X-ctr.shared-with=";
const TREE = "X-ctr.tree=";

/** The option that says which descriptor the mount is. */
export function treeOption(fd: number): string {
  return `${TREE}${fd}`;
}

/** `pid:start time:destination` */
function sharedPlace(text: string): SharedPlace {
  const [pid = "", startTime = "", ...rest] = text.split(":");
  return { pid: Number(pid), startTime: Number(startTime), destination: rest.join(":") };
}

/** Sorts the words; a later one wins over an earlier one, as in mount(8). */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let bind: MountOptions["bind"] = "no";
  let idMap: MountOptions["idMap"] = "no";
  let [set, clear, recursiveSet, recursiveClear, propagation] = [0, 0, 0, 0, 0];
  let isPropagationRecursive = false;
  const data: string[] = [];
  const own: {
    subdirectory?: string;
    copyUpMark?: string;
    sharedWith?: SharedPlace[];
    isCopiedUp?: true;
    isRemount?: true;
    tree?: number;
  } = {};
  for (const word of options) {
    const attribute = ATTRIBUTES[word];
    const recursive = word.startsWith("r") ? word.slice(1) : "";
    const recursiveAttribute = ATTRIBUTES[recursive];
    if (word.startsWith(SUBDIRECTORY)) own.subdirectory = word.slice(SUBDIRECTORY.length);
    else if (word.startsWith(COPY_UP)) own.copyUpMark = word.slice(COPY_UP.length);
    else if (word.startsWith(SHARED_WITH)) {
      own.sharedWith = [...(own.sharedWith ?? []), sharedPlace(word.slice(SHARED_WITH.length))];
    } else if (word.startsWith(TREE)) own.tree = Number(word.slice(TREE.length));
    else if (word === "bind") bind = "one";
    else if (word === "rbind") bind = "recursive";
    else if (word === "tmpcopyup") own.isCopiedUp = true;
    else if (word === "remount") own.isRemount = true;
    else if (word === "idmap") idMap = "one";
    else if (word === "ridmap") idMap = "recursive";
    else if (PASSED_OVER.has(word)) continue;
    else if (attribute !== undefined) {
      set = (set & ~attribute[1]) | attribute[0];
      clear = (clear & ~attribute[0]) | attribute[1];
    } else if (recursiveAttribute !== undefined) {
      recursiveSet = (recursiveSet & ~recursiveAttribute[1]) | recursiveAttribute[0];
      recursiveClear = (recursiveClear & ~recursiveAttribute[0]) | recursiveAttribute[1];
    } else if (PROPAGATION[word] !== undefined) {
      propagation = PROPAGATION[word] ?? 0;
      isPropagationRecursive = false;
    } else if (PROPAGATION[recursive] !== undefined) {
      propagation = PROPAGATION[recursive] ?? 0;
      isPropagationRecursive = true;
    } else data.push(word);
  }
  return { bind, idMap, set, clear, recursiveSet, recursiveClear, propagation, isPropagationRecursive, data, ...own };
}

/** mount_setattr(2): the access times are one setting, and to change it all of its bits are cleared. */
export function changes(set: number, clear: number): { readonly set: number; readonly clear: number } {
  const changesTimes = ((set | clear) & MOUNT_ATTR__ATIME) !== 0;
  return { set, clear: (clear & ~set) | (changesTimes ? MOUNT_ATTR__ATIME : 0) };
}

/** Flags of a file system, not of its mount, that every file system takes, and what is passed over. */
const SUPERBLOCK = ["async", "sync", "dirsync", "lazytime", "nolazytime", "mand", "nomand"];
const IGNORED = ["silent", "loud", "iversion", "noiversion"];

/** Every word this knows, for who asks what is supported. */
export function mountOptionWords(): readonly string[] {
  const words = [
    "bind",
    "rbind",
    "defaults",
    "tmpcopyup",
    "remount",
    "idmap",
    "ridmap",
    ...SUPERBLOCK,
    ...IGNORED,
    ...Object.keys(PROPAGATION),
    ...Object.keys(ATTRIBUTES),
  ];
  const recursive = [...Object.keys(PROPAGATION), ...Object.keys(ATTRIBUTES)].map((word) => `r${word}`);
  return [...new Set([...words, ...recursive])].sort();
}
