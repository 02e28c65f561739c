/**
 * /sys/fs/cgroup of a container. On v2 one cgroup2 mount, which the cgroup namespace roots at the container's own
 * cgroup. On v1 a tmpfs with the container's directory of each hierarchy bound in it (cgroups(7)).
 */
import { ENOENT, isErrno } from "../errors/error.ts";
import { AT_EMPTY_PATH, AT_FDCWD, Fd, O_DIRECTORY, O_PATH, openat } from "../sys/fd.ts";
import { fstat, mkdirat, readText, symlinkat } from "../sys/file.ts";
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

/** The container's directories, detached from their hierarchies: on v1 one for each, on v2 none. */
export interface PreparedCgroups {
  readonly version: 1 | 2;
  readonly trees: readonly { readonly hierarchy: Hierarchy; readonly tree: Fd }[];
}

/** Detaches what `mountCgroups` will attach, as the process that calls it is placed. */
export function prepareCgroups(): PreparedCgroups {
  const hierarchies = legacyHierarchies();
  if (hierarchies.length === 0) return { version: 2, trees: [] };
  const own = ownCgroups();
  const mine = own.get("freezer") ?? own.get("memory") ?? own.get("pids");
  const trees = hierarchies.flatMap((hierarchy) => {
    const path = own.get(hierarchy.name) ?? own.get(hierarchy.aliases.join(","));
    // Elsewhere than in the others it has no cgroup of its own, and would see those of everybody.
    if (path === undefined || path !== mine) return [];
    const tree = path === "/" ? mountOwn(hierarchy) : detach(`${hierarchy.mountPoint}${path}`);
    return tree === undefined ? [] : [{ hierarchy, tree }];
  });
  return { version: 1, trees };
}

/**
 * The hierarchy as a cgroup namespace of our own shows it: from our cgroup down (cgroup_namespaces(7)). Undefined where that
 * is the hierarchy's root: then we have no cgroup of our own in it.
 */
function mountOwn({ aliases, name }: Hierarchy): Fd | undefined {
  using fs = fsopen("cgroup");
  fsconfigSet(fs.number, "source", "cgroup");
  if (CONTROLLERS.has(aliases[0] ?? "")) {
    for (const controller of aliases) fsconfigSet(fs.number, controller);
  } else {
    fsconfigSet(fs.number, "none");
    fsconfigSet(fs.number, "name", name);
  }
  fsconfigCreate(fs.number, "cgroup");
  const tree = fsmount(fs.number, SAFE);
  if (fstat(tree.number).ino !== KERNFS_ROOT_INO) return tree;
  tree.close();
  return undefined;
}

/** fs/kernfs/dir.c: numbers begin at the root. */
const KERNFS_ROOT_INO = 1n;

function detach(directory: string): Fd | undefined {
  try {
    return openTree(AT_FDCWD, directory, OPEN_TREE_CLONE);
  } catch (error) {
    // A hierarchy mounted from below its root does not show our directory: the container does without it.
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

/** Mounts the cgroup file systems on `target`. Closes what was prepared. */
export function mountCgroups(
  target: number,
  shown: string,
  isReadonly: boolean,
  prepared: PreparedCgroups,
): Fd | undefined {
  const attributes = SAFE | (isReadonly ? MOUNT_ATTR_RDONLY : 0);
  if (prepared.version === 2) {
    using fs = fsopen("cgroup2");
    fsconfigCreate(fs.number, "cgroup2");
    using tree = fsmount(fs.number, attributes);
    attachMount(tree.number, target, shown);
    return undefined;
  }
  using fs = fsopen("tmpfs");
  fsconfigSet(fs.number, "source", "tmpfs");
  fsconfigSet(fs.number, "mode", "555");
  fsconfigCreate(fs.number, "tmpfs");
  using directory = fsmount(fs.number, SAFE);
  attachMount(directory.number, target, shown);
  for (const { hierarchy, tree } of prepared.trees) {
    using owned = tree;
    const { name, aliases } = hierarchy;
    mountSetattr(owned.number, "", AT_EMPTY_PATH, { set: attributes });
    mkdirat(directory.number, name, 0o755);
    for (const alias of aliases) if (alias !== name) symlinkat(name, directory.number, alias);
    using place = openat(directory.number, name, O_PATH | O_DIRECTORY);
    attachMount(owned.number, place.number, `${shown}/${name}`);
  }
  return isReadonly ? new Fd(directory.take()) : undefined;
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
