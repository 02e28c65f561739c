/** Files shown with other owners than they have: idmapped mounts (mount_setattr(2) MOUNT_ATTR_IDMAP, kernel 5.12). */
import { CtrError, EINVAL, ENOSYS, EPERM, isErrno } from "../errors/error.ts";
import type { Mount } from "../spec/runtime.ts";
import { AT_EMPTY_PATH, AT_RECURSIVE, type Fd } from "../sys/fd.ts";
import { MOUNT_ATTR_IDMAP, mountSetattr } from "../sys/mount.ts";
import { userNamespace } from "../sys/user-namespace.ts";
import { parseMountOptions } from "./mount-options.ts";

/**
 * Changes a detached mount that nobody has seen yet: what belongs to an id of the user namespace belongs to that id's own
 * outside. Throws `unsupported`, naming `shown`, where the file system or the kernel cannot.
 */
export function idMapTree(tree: number, user: number, isRecursive: boolean, shown: string): void {
  try {
    mountSetattr(tree, "", AT_EMPTY_PATH | (isRecursive ? AT_RECURSIVE : 0), {
      set: MOUNT_ATTR_IDMAP,
      userNamespace: user,
    });
  } catch (error) {
    // EPERM: it is idmapped already, or its file system belongs to another user namespace.
    if (!isErrno(error, EINVAL, ENOSYS, EPERM)) throw error;
    const why = isErrno(error, EPERM) ? "has other owners already" : "cannot show its files with other owners";
    const message = `${shown}: its file system ${why} (idmapped mounts, see docs/security.md)`;
    throw new CtrError("unsupported", message, { cause: error });
  }
}

/**
 * Does so for a mount of the spec that asks for it: by its own mappings, else by those of the container's user namespace
 * (runtime-spec config.md#mounts). Throws `invalid` where there are neither.
 */
export function idMapAsAsked(tree: Fd, spec: Mount, container: number | undefined): void {
  const { idMap } = parseMountOptions(spec.options ?? []);
  const { uidMappings = [], gidMappings = [] } = spec;
  const hasOwn = uidMappings.length > 0 || gidMappings.length > 0;
  if (idMap === "no" && !hasOwn) return;
  const shown = spec.source ?? spec.destination;
  const isRecursive = idMap === "recursive";
  if (hasOwn) {
    if (uidMappings.length === 0 || gidMappings.length === 0)
      throw new CtrError("invalid", `mount ${spec.destination}: uidMappings and gidMappings go together`);
    using own = userNamespace(uidMappings, gidMappings);
    idMapTree(tree.number, own.number, isRecursive, shown);
  } else if (container !== undefined) idMapTree(tree.number, container, isRecursive, shown);
  else {
    throw new CtrError(
      "invalid",
      `mount ${spec.destination}: idmap without mappings, in a container without a user namespace`,
    );
  }
}
