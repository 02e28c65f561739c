/**
 * Attaching a mount inside a root that others may be changing: never on procfs, and looked at again when it is done. The
 * descriptors on both sides are what the kernel goes by; the second look is for the name, which is what the user asked for.
 */
import { CtrError } from "../errors/error.ts";
import { fstatfsType, PROC_SUPER_MAGIC } from "../sys/file.ts";
import { attachMount, isAttached } from "../sys/mount.ts";
import { RESOLVE } from "./resolve.ts";

/**
 * Attaches `tree` on the place `target`, which was opened as `path` below `root`. Throws `denied` when `path` leads elsewhere
 * afterwards: somebody has exchanged a directory of a shared volume meanwhile (CVE-2021-30465).
 */
export function attachInRoot(root: number, tree: number, target: number, path: string): void {
  refuseProcfs(target, path);
  attachOver(root, tree, target, path);
}

/** The same for a mask, or a path made read-only: those belong on procfs. */
export function attachOver(root: number, tree: number, target: number, path: string): void {
  attachMount(tree, target, path);
  if (!isAttached(root, path, RESOLVE, tree))
    throw new CtrError("denied", `mount ${path}: what is there was exchanged while it was mounted on`);
}

/**
 * Refuses a place on procfs, however it was named: what lies over a file there fools everybody who writes to it, and a link
 * of the image may lead there (CVE-2019-19921). runc makes an exception for lxcfs's files; here there is none.
 */
export function refuseProcfs(target: number, path: string): void {
  if (fstatfsType(target) === PROC_SUPER_MAGIC) throw insideProc(path);
}

/** Docker's words. */
export function insideProc(path: string): CtrError {
  return new CtrError("invalid", `${path}: cannot be mounted because it is inside /proc`);
}
