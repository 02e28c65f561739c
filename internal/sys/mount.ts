/** Mounting: mount(2) and the mount API of kernel 5.2. */
import { Fd } from "./fd.ts";
import { check, cstr, lib, type PathBytes } from "./lib.ts";

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_REMOUNT = 32;
export const MS_BIND = 4096;
export const MS_MOVE = 8192;
export const MS_REC = 16384;
export const MS_UNBINDABLE = 1 << 17;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;

export const MNT_DETACH = 2;

export const OPEN_TREE_CLONE = 1;
export const OPEN_TREE_CLOEXEC = 0o2000000;
export const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
export const MOVE_MOUNT_T_EMPTY_PATH = 0x40;

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_STRICTATIME = 0x20;
export const MOUNT_ATTR__ATIME = 0x70;
export const MOUNT_ATTR_NODIRATIME = 0x80;
/** Kernel 5.12, with the descriptor of a user namespace. */
export const MOUNT_ATTR_IDMAP = 0x100000;
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000;

/** mount(2). Throws SyscallError with the target as path. */
export function mount(source: PathBytes, target: PathBytes, type: string, flags: number, data = ""): void {
  check("mount", lib.ctr_mount(cstr(source), cstr(target), cstr(type), flags, cstr(data)), target);
}

/** umount2(2). */
export function umount2(target: PathBytes, flags: number): void {
  check("umount", lib.ctr_umount2(cstr(target), flags), target);
}

/** pivot_root(2). */
export function pivotRoot(newRoot: PathBytes, putOld: PathBytes): void {
  check("pivot_root", lib.ctr_pivot_root(cstr(newRoot), cstr(putOld)), newRoot);
}

/** open_tree(2), kernel 5.2, close-on-exec. With `OPEN_TREE_CLONE` a detached copy of the mount. */
export function openTree(dirfd: number, path: PathBytes, flags: number): Fd {
  return new Fd(check("open_tree", lib.ctr_open_tree(dirfd, cstr(path), flags | OPEN_TREE_CLOEXEC), path));
}

/** move_mount(2), kernel 5.2: attaches the mount `mountFd` on the place `targetFd`. */
export function attachMount(mountFd: number, targetFd: number, shownTarget: string): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  check("mount", lib.ctr_move_mount(mountFd, cstr(""), targetFd, cstr(""), flags), shownTarget);
}

/** True if `path`, resolved below `root` with these `RESOLVE_…` flags (openat2(2)), is the root of the mount `tree`. */
export function isAttached(root: number, path: PathBytes, resolve: number, tree: number): boolean {
  return check("open", lib.ctr_is_attached(root, cstr(path), resolve, tree), path) === 1;
}

const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;

/** fsopen(2), kernel 5.2. */
export function fsopen(type: string): Fd {
  return new Fd(check("fsopen", lib.ctr_fsopen(cstr(type), FSOPEN_CLOEXEC), type));
}

/** fsconfig(2) `FSCONFIG_SET_STRING`, or `FSCONFIG_SET_FLAG` without a value. */
export function fsconfigSet(fs: number, key: string, value?: PathBytes): void {
  const command = value === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  const shown = value === undefined ? key : `${key}=${typeof value === "string" ? value : "…"}`;
  check("fsconfig", lib.ctr_fsconfig(fs, command, cstr(key), value === undefined ? null : cstr(value), 0), shown);
}

/** fsconfig(2) `FSCONFIG_CMD_CREATE`: makes the superblock. */
export function fsconfigCreate(fs: number, shown: string): void {
  check("mount", lib.ctr_fsconfig(fs, FSCONFIG_CMD_CREATE, null, null, 0), shown);
}

/** fsmount(2): the detached mount, with `MOUNT_ATTR_…` attributes. */
export function fsmount(fs: number, attributes: number): Fd {
  return new Fd(check("fsmount", lib.ctr_fsmount(fs, FSMOUNT_CLOEXEC, attributes)));
}

/** mount_setattr(2), kernel 5.12; `propagation` is one of MS_PRIVATE and its like, or 0; `userNamespace` goes with MOUNT_ATTR_IDMAP. */
export function mountSetattr(
  dirfd: number,
  path: PathBytes,
  flags: number,
  attributes: {
    readonly set?: number;
    readonly clear?: number;
    readonly propagation?: number;
    readonly userNamespace?: number;
  },
): void {
  const mount_attr = new BigUint64Array([
    BigInt(attributes.set ?? 0),
    BigInt(attributes.clear ?? 0),
    BigInt(attributes.propagation ?? 0),
    BigInt(attributes.userNamespace ?? 0),
  ]);
  check("mount_setattr", lib.ctr_mount_setattr(dirfd, cstr(path), flags, mount_attr, 32), path);
}
