/** A mount that is there already, with other options (`remount`, mount(8)): what is not said of it stays as it is. */
import { CtrError } from "../errors/error.ts";
import type { Mount } from "../spec/runtime.ts";
import { AT_EMPTY_PATH } from "../sys/fd.ts";
import { fstat } from "../sys/file.ts";
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_REMOUNT,
  mount,
  mountSetattr,
} from "../sys/mount.ts";
import { changes, type MountOptions } from "./mount-options.ts";
import { openInRoot } from "./resolve.ts";

/** In mount(2) and in mount_setattr(2) these have the same numbers. */
const SAME_FLAGS = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/** Throws `invalid` where nothing is mounted. */
export function remountInRoot(root: number, { destination }: Mount, options: MountOptions): void {
  using place = openInRoot(root, destination);
  if (!fstat(place.number).isMountRoot)
    throw new CtrError("invalid", `remount ${destination}: nothing is mounted there`);
  const { set, clear, bind, data } = options;
  // What the file system itself is to change. The mount's own flags are replaced by this call.
  if (bind === "no" && data.length > 0)
    mount("", `/proc/self/fd/${place.number}`, "", MS_REMOUNT | (set & SAME_FLAGS), data.join(","));
  mountSetattr(place.number, "", AT_EMPTY_PATH, changes(set, clear));
}
