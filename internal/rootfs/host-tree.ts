/**
 * The mounts that only the host's root can make for a container with a user namespace: what lies on the host, what has
 * other owners there, file systems of devices, and /dev, in whose nodes that namespace has no say.
 */
import { CtrError } from "../errors/error.ts";
import type { Device, Mount } from "../spec/runtime.ts";
import { AT_EMPTY_PATH, type Fd } from "../sys/fd.ts";
import { fchownat } from "../sys/file.ts";
import { umask } from "../sys/process.ts";
import { asOwner, type IdRuns, outside } from "../sys/user-namespace.ts";
import { makeDevices } from "./devices.ts";
import { idMapAsAsked } from "./id-map.ts";
import { parseMountOptions } from "./mount-options.ts";
import { cloneShared, makeFileSystem, openSource } from "./mounts.ts";

/** What root of the namespace makes itself. */
const ITS_OWN = ["proc", "sysfs", "devpts", "mqueue", "tmpfs", "cgroup"];

/** The user namespace, and which ids are which. */
export interface HostMaps extends IdRuns {
  readonly user: number;
}

/** The mount, made and attached nowhere; undefined for one that the container's init makes. */
export function hostTree(spec: Mount, maps: HostMaps, devices: readonly Device[]): Fd | undefined {
  const options = parseMountOptions(spec.options ?? []);
  if (options.bind !== "no" || spec.type === "bind") return mappedBind(spec, maps.user);
  const shared = cloneShared(options);
  if (shared !== undefined) return shared;
  const type = spec.type ?? "";
  if (type === "tmpfs" && spec.destination === "/dev") return makeDev(spec, maps, devices);
  if (ITS_OWN.includes(type)) return undefined;
  const tree = makeFileSystem(type, spec.source ?? type, spec.options ?? []);
  try {
    idMapAsAsked(tree, spec, maps.user);
  } catch (error) {
    // A file system that a volume's driver mounts keeps its owners where it cannot do otherwise (NFS): docs/security.md.
    if (!(error instanceof CtrError) || error.kind !== "unsupported") {
      tree.close();
      throw error;
    }
  }
  return tree;
}

/** A bind whose files have the owners that are asked for; `user` is the container's user namespace, if it has one. */
export function mappedBind(spec: Mount, user: number | undefined): Fd {
  const tree = openSource(spec, parseMountOptions(spec.options ?? []));
  try {
    idMapAsAsked(tree, spec, user);
    return tree;
  } catch (error) {
    tree.close();
    throw error;
  }
}

const DEV = "/dev/";

/** A tmpfs of the host's, so that device nodes in it are devices; everything in it belongs to the container's users. */
function makeDev(spec: Mount, { uids, gids }: HostMaps, devices: readonly Device[]): Fd {
  const tree = makeFileSystem("tmpfs", spec.source ?? "tmpfs", spec.options ?? []);
  const root = { uid: outside(uids, 0) ?? 0, gid: outside(gids, 0) ?? 0 };
  const inside = devices
    .filter(({ path }) => path.startsWith(DEV))
    .map((device) => ({
      ...device,
      path: device.path.slice(DEV.length - 1),
      uid: outside(uids, device.uid ?? 0) ?? root.uid,
      gid: outside(gids, device.gid ?? 0) ?? root.gid,
    }));
  fchownat(tree.number, "", root.uid, root.gid, AT_EMPTY_PATH);
  const usual = umask(0);
  try {
    using _ = asOwner(root.uid, root.gid);
    makeDevices(tree.number, inside, []);
  } finally {
    umask(usual);
  }
  return tree;
}
