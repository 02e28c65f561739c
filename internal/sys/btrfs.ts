/** Subvolumes of btrfs (linux/btrfs.h, btrfs(5)): the three calls that make, copy and remove one. */
import { type Fd, O_DIRECTORY, O_RDONLY, open } from "./fd.ts";
import { fstatfsType } from "./file.ts";
import { check, cstr, lib } from "./lib.ts";

const BTRFS_SUPER_MAGIC = 0x9123683e;
/** BTRFS_FIRST_FREE_OBJECTID: the inode of every subvolume's root, and of nothing else. */
export const SUBVOLUME_INODE = 256n;

// _IOW(0x94, n, struct of 4096 bytes)
const BTRFS_IOC_SUBVOL_CREATE = 0x5000940en;
const BTRFS_IOC_SNAP_DESTROY = 0x5000940fn;
const BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417n;
const ARGS_BYTES = 4096;
/** Of the name in struct btrfs_ioctl_vol_args and in its second version. */
const NAME_AT = 8;
const NAME_AT_V2 = 56;

/** True if the file behind the descriptor is on btrfs. */
export function isBtrfs(fd: number): boolean {
  return fstatfsType(fd) === BTRFS_SUPER_MAGIC;
}

/** Makes an empty subvolume `name` (one component) in a directory. */
export function createSubvolume(dirfd: number, name: string): void {
  call("BTRFS_IOC_SUBVOL_CREATE", dirfd, BTRFS_IOC_SUBVOL_CREATE, args(dirfd, name, false), name);
}

/** Makes `name` in a directory a writable snapshot of the subvolume whose root `source` is. */
export function snapshotSubvolume(dirfd: number, name: string, source: number): void {
  call("BTRFS_IOC_SNAP_CREATE_V2", dirfd, BTRFS_IOC_SNAP_CREATE_V2, args(source, name, true), name);
}

/** Removes a subvolume with everything in it; throws ENOTEMPTY if another one is inside. */
export function destroySubvolume(dirfd: number, name: string): void {
  call("BTRFS_IOC_SNAP_DESTROY", dirfd, BTRFS_IOC_SNAP_DESTROY, args(0, name, false), name);
}

/** The descriptor of a directory, split off a path, and the last name. The caller owns the descriptor. */
export function parentOf(path: string): { readonly parent: Fd; readonly name: string } {
  const slash = path.lastIndexOf("/");
  return { parent: open(path.slice(0, slash) || "/", O_RDONLY | O_DIRECTORY), name: path.slice(slash + 1) };
}

function args(fd: number, name: string, isSecondVersion: boolean): Uint8Array {
  const bytes = new Uint8Array(ARGS_BYTES);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(fd), true);
  bytes.set(cstr(name), isSecondVersion ? NAME_AT_V2 : NAME_AT);
  return bytes;
}

function call(what: string, dirfd: number, request: bigint, bytes: Uint8Array, name: string): void {
  check(what, lib.ctr_ioctl(dirfd, request, bytes), name);
}
