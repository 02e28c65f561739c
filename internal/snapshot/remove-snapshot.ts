/** Removing a tree that may be, or hold, a subvolume of btrfs: then the file system does it at once. */
import { ENOENT, ENOTDIR, isErrno, SyscallError } from "../errors/error.ts";
import { destroySubvolume, isBtrfs, parentOf, SUBVOLUME_INODE } from "../sys/btrfs.ts";
import { AT_FDCWD, type Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../sys/fd.ts";
import { fstat, getdents64, removeTree, S_IFDIR } from "../sys/file.ts";

/**
 * Removes a directory with all that is in it; succeeds when it is gone. What a container made of subvolumes inside its
 * root (read-only ones too, which nobody can empty) goes as well.
 */
export function removeSnapshot(path: string): void {
  const opened = openOwn(path);
  if (opened === undefined) return;
  using directory = opened;
  if (isBtrfs(directory.number)) removeSubvolumesIn(path, directory);
  removeTree(AT_FDCWD, path);
}

function openOwn(path: string): Fd | undefined {
  try {
    return openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return undefined;
    throw error;
  }
}

function removeSubvolumesIn(path: string, directory: Fd): void {
  if (fstat(directory.number).ino !== SUBVOLUME_INODE) {
    removeBelow(directory);
    return;
  }
  const { parent, name } = parentOf(path);
  using above = parent;
  destroy(above.number, name, directory);
}

/** One level: the subvolumes among the entries. Only a container's directory and what cannot be destroyed come here. */
function removeBelow(directory: Fd): void {
  using listed = openat(directory.number, ".", O_RDONLY | O_DIRECTORY);
  for (const { name, kind } of getdents64(listed.number)) {
    if (kind !== S_IFDIR) continue;
    const text = new TextDecoder().decode(name);
    using child = openat(directory.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fstat(child.number).ino === SUBVOLUME_INODE) destroy(directory.number, text, child);
  }
}

function destroy(parent: number, name: string, subvolume: Fd): void {
  try {
    destroySubvolume(parent, name);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    // Most likely there are others inside: those first, deepest first.
    destroyInside(subvolume);
    destroySubvolume(parent, name);
  }
}

function destroyInside(directory: Fd): void {
  using listed = openat(directory.number, ".", O_RDONLY | O_DIRECTORY);
  for (const { name, kind } of getdents64(listed.number)) {
    if (kind !== S_IFDIR) continue;
    using child = openat(directory.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    destroyInside(child);
    if (fstat(child.number).ino === SUBVOLUME_INODE) destroySubvolume(directory.number, new TextDecoder().decode(name));
  }
}
