/** Secrets inside a container: a small file system in memory on /run/secrets, which its programs may only read. */
import { EINVAL, isErrno } from "../errors/error.ts";
import type { SecretFile } from "../spec/runtime.ts";
import { AT_EMPTY_PATH, type Fd, O_CREAT, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY, openat, writeAll } from "../sys/fd.ts";
import { fchmod, fchown, unlinkat } from "../sys/file.ts";
import {
  fsconfigCreate,
  fsconfigSet,
  fsmount,
  fsopen,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  OPEN_TREE_CLONE,
  openTree,
} from "../sys/mount.ts";
import { attachInRoot } from "./attach.ts";
import { makeDirectoryInRoot, makeFileInRoot } from "./resolve.ts";

const PLACE = "/run/secrets";

/** Makes the files and mounts them; a file with a place of its own is bound there. */
export function mountSecrets(root: number, files: readonly SecretFile[], label: string | undefined): void {
  if (files.length === 0) return;
  using tree = memoryFileSystem(label);
  for (const [index, file] of files.entries()) writeSecret(tree.number, nameOf(file) ?? hidden(index), file);
  // Attached before a file of it is cloned: open_tree(2) clones from a detached mount only since kernel 6.15.
  using place = makeDirectoryInRoot(root, PLACE);
  attachInRoot(root, tree.number, place.number, PLACE);
  for (const [index, file] of files.entries())
    if (nameOf(file) === undefined) bindAlone(root, tree, hidden(index), file);
  mountSetattr(tree.number, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY });
}

/** Its name in /run/secrets; undefined for one that lies elsewhere. */
function nameOf({ path }: SecretFile): string | undefined {
  const name = path.startsWith(`${PLACE}/`) ? path.slice(PLACE.length + 1) : "";
  return name === "" || name.includes("/") ? undefined : name;
}

/** No secret's own name: those begin with a letter or a digit. */
function hidden(index: number): string {
  return `.${index}`;
}

/** `noswap`, so that no secret is written to a disk, is kernel 6.4's. */
function memoryFileSystem(label: string | undefined): Fd {
  const make = (isKept: boolean) => {
    using fs = fsopen("tmpfs");
    fsconfigSet(fs.number, "source", "secrets");
    fsconfigSet(fs.number, "mode", "755");
    if (isKept) fsconfigSet(fs.number, "noswap", undefined);
    if (label !== undefined && label !== "") fsconfigSet(fs.number, "context", label);
    fsconfigCreate(fs.number, "secrets");
    return fsmount(fs.number, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  };
  try {
    return make(true);
  } catch (error) {
    if (!isErrno(error, EINVAL)) throw error;
    return make(false);
  }
}

function writeSecret(directory: number, name: string, { uid, gid, mode, content }: SecretFile): void {
  using file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  writeAll(file.number, content);
  fchown(file.number, uid, gid);
  fchmod(file.number, mode);
}

/** The file at its own place, and no more in /run/secrets. */
function bindAlone(root: number, tree: Fd, name: string, { path }: SecretFile): void {
  using file = openat(tree.number, name, O_PATH | O_NOFOLLOW);
  using alone = openTree(file.number, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  mountSetattr(alone.number, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY });
  using target = makeFileInRoot(root, path);
  attachInRoot(root, alone.number, target.number, path);
  unlinkat(tree.number, name);
}
