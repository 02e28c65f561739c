/**
 * /sys/fs/cgroup of a container. On v2 one cgroup2 mount, which the cgroup namespace roots at the container's own
 * cgroup. On v1 a tmpfs with the container's directory of each hierarchy bound in it (cgroups(7)).
 */
import { ENOENT, isErrno } from "../errors/error.ts";
import { AT_EMPTY_PATH, AT_FDCWD, O_DIRECTORY, O_PATH, openat } from "../sys/fd.ts";
import { mkdirat, readText, symlinkat } from "../sys/file.ts";
import {
  attachMount,
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

const SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/** Mounts the cgroup file systems on `target`, as the process that calls it is placed. */
export function mountCgroups(target: number, shown: string, isReadonly: boolean): void {
  const attributes = SAFE | (isReadonly ? MOUNT_ATTR_RDONLY : 0);
  const hierarchies = legacyHierarchies();
  if (hierarchies.length === 0) {
    using fs = fsopen("cgroup2");
    fsconfigCreate(fs.number, "cgroup2");
    using tree = fsmount(fs.number, attributes);
    attachMount(tree.number, target, shown);
    return;
  }
  using fs = fsopen("tmpfs");
  fsconfigSet(fs.number, "mode", "755");
  fsconfigCreate(fs.number, "tmpfs");
  using tree = fsmount(fs.number, SAFE);
  attachMount(tree.number, target, shown);
  const own = ownCgroups();
  for (const { name, mountPoint, aliases } of hierarchies) {
    const path = own.get(name) ?? own.get(aliases.join(","));
    if (path === undefined) continue;
    mkdirat(tree.number, name, 0o755);
    for (const alias of aliases) if (alias !== name) symlinkat(name, tree.number, alias);
    bindHierarchy(tree.number, name, `${mountPoint}${path === "/" ? "" : path}`, attributes);
  }
  if (isReadonly) mountSetattr(tree.number, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY });
}

function bindHierarchy(directory: number, name: string, source: string, attributes: number): void {
  try {
    using hierarchy = openTree(AT_FDCWD, source, OPEN_TREE_CLONE);
    mountSetattr(hierarchy.number, "", AT_EMPTY_PATH, { set: attributes });
    using place = openat(directory, name, O_PATH | O_DIRECTORY);
    attachMount(hierarchy.number, place.number, `/sys/fs/cgroup/${name}`);
  } catch (error) {
    // A hierarchy mounted from below its root does not show our directory: the container does without it.
    if (!isErrno(error, ENOENT)) throw error;
  }
}

interface Hierarchy {
  /** The directory's name: `cpu,cpuacct`, `systemd`. */
  readonly name: string;
  readonly mountPoint: string;
  readonly aliases: readonly string[];
}

/**
 * The mounted v1 hierarchies (proc(5), mountinfo), each once: the host's /sys may be bound into the container. None on a
 * pure v2 host.
 */
function legacyHierarchies(): Hierarchy[] {
  const mounted = readText("/proc/self/mountinfo", 8 << 20)
    .split("\n")
    .flatMap((line) => {
      const [left = "", right = ""] = line.split(" - ");
      const [type, , superOptions = ""] = right.split(" ");
      const mountPoint = left.split(" ")[4] ?? "";
      if (type !== "cgroup") return [];
      const words = superOptions.split(",");
      const named = words.find((word) => word.startsWith("name="));
      const aliases = named === undefined ? words.filter((word) => CONTROLLERS.has(word)) : [named.slice(5)];
      return [{ name: aliases.join(","), mountPoint, aliases }];
    });
  return [...new Map(mounted.toReversed().map((hierarchy) => [hierarchy.name, hierarchy])).values()];
}

const CONTROLLERS = new Set([
  "cpu",
  "cpuacct",
  "cpuset",
  "memory",
  "devices",
  "freezer",
  "net_cls",
  "net_prio",
  "blkio",
  "perf_event",
  "hugetlb",
  "pids",
  "rdma",
  "misc",
]);

/** Where this process is in each hierarchy: controllers (or name) → path, from /proc/self/cgroup. */
function ownCgroups(): Map<string, string> {
  const own = new Map<string, string>();
  for (const line of readText("/proc/self/cgroup").split("\n")) {
    const [, controllers, ...path] = line.split(":");
    if (controllers === undefined || path.length === 0) continue;
    own.set(controllers.startsWith("name=") ? controllers.slice(5) : controllers, path.join(":"));
  }
  return own;
}
