/** Which cgroup hierarchies this machine has, and where: v1, v2, or both (cgroups(7)). */
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import { readText, statfs } from "../sys/file.ts";

export type ControllerName =
  | "memory"
  | "cpu"
  | "cpuacct"
  | "cpuset"
  | "pids"
  | "devices"
  | "freezer"
  | "blkio"
  | "io"
  | "hugetlb"
  | "net_cls"
  | "net_prio"
  | "rdma";

/** One mounted hierarchy. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** Where it is mounted. */
  readonly mountPoint: string;
  /** v1: its controllers, and its name as `name=systemd`. v2: empty, they are read from `cgroup.controllers`. */
  readonly controllers: readonly string[];
  /** Where this process is in it, from its root. */
  readonly own?: string;
}

/** `hybrid` is v1 with an additional v2 hierarchy that has no controllers we use. */
export interface Layout {
  readonly mode: "v1" | "hybrid" | "v2";
  readonly hierarchies: readonly Hierarchy[];
}

// statfs(2), linux/magic.h
const CGROUP_SUPER_MAGIC = 0x27e0eb;
const CGROUP2_SUPER_MAGIC = 0x63677270;
const MOUNT_POINT = "/sys/fs/cgroup";
// Every mount of a busy host is in mountinfo.
const MAX_MOUNTINFO = 16 << 20;

let known: Layout | undefined;

/** The layout of this mount namespace; looked at once per process. Throws `unsupported` if no cgroups are mounted. */
export function cgroupLayout(): Layout {
  known ??= detect();
  return known;
}

function detect(): Layout {
  if (typeAt(MOUNT_POINT) === CGROUP2_SUPER_MAGIC) {
    return { mode: "v2", hierarchies: [{ version: 2, mountPoint: MOUNT_POINT, controllers: [] }] };
  }
  const own = readText("/proc/self/cgroup");
  const layout = usualLayout(own, typeAt) ?? parseLayout(readText("/proc/self/mountinfo", MAX_MOUNTINFO), own);
  if (layout !== undefined) return layout;
  throw new CtrError("unsupported", `no cgroup hierarchy is mounted (expected at ${MOUNT_POINT})`);
}

/** The type of the file system there, 0 if there is nothing. */
function typeAt(path: string): number {
  try {
    return statfs(path).type;
  } catch (error) {
    if (isErrno(error, ENOENT)) return 0;
    throw error;
  }
}

/**
 * v1 and hybrid with every hierarchy at its usual place, as a /proc/self/cgroup names them: a third of the time that
 * mountinfo takes. Undefined if one is elsewhere. `type` tells what is mounted at a path.
 */
export function usualLayout(procCgroup: string, type: (path: string) => number): Layout | undefined {
  const hierarchies: Hierarchy[] = [];
  for (const { names, path: own } of cgroupLines(procCgroup)) {
    const isV2 = names === "";
    const mountPoint = `${MOUNT_POINT}/${isV2 ? "unified" : names.replace("name=", "")}`;
    if (type(mountPoint) === (isV2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC)) {
      hierarchies.push({ version: isV2 ? 2 : 1, mountPoint, controllers: isV2 ? [] : names.split(","), own });
    } else if (!isV2) {
      return undefined;
    }
  }
  const hasV2 = hierarchies.some(({ version }) => version === 2);
  return hierarchies.length > (hasV2 ? 1 : 0) ? { mode: hasV2 ? "hybrid" : "v1", hierarchies } : undefined;
}

/** The lines `number:controllers:path` of a /proc/<pid>/cgroup (cgroups(7)). */
function cgroupLines(procCgroup: string): readonly { readonly names: string; readonly path: string }[] {
  return procCgroup.split("\n").flatMap((line) => {
    const first = line.indexOf(":");
    const second = line.indexOf(":", first + 1);
    return second < 0 ? [] : [{ names: line.slice(first + 1, second), path: line.slice(second + 1) }];
  });
}

/** The layout that a mountinfo (proc(5)) shows, or undefined if it has no cgroup mount. */
export function parseLayout(mountinfo: string, procCgroup: string): Layout | undefined {
  const hierarchies: Hierarchy[] = [];
  const seen = new Set<string>();
  for (const line of mountinfo.split("\n")) {
    const separator = line.indexOf(" - cgroup");
    if (separator < 0) continue;
    const [type, , superOptions = ""] = line.slice(separator + 3).split(" ");
    if (type !== "cgroup" && type !== "cgroup2") continue;
    const mountPoint = unescapePath(line.split(" ", 5)[4] ?? "");
    const controllers = type === "cgroup2" ? [] : superOptions.split(",").filter(isController);
    // The same hierarchy may be mounted twice; the first mount is the usual one.
    const key = type === "cgroup2" ? type : controllers.join(",");
    if (seen.has(key)) continue;
    seen.add(key);
    const own = ownPath(procCgroup, controllers[0] ?? "");
    const version = type === "cgroup2" ? 2 : 1;
    hierarchies.push({ version, mountPoint, controllers, ...(own === undefined ? {} : { own }) });
  }
  const hasV1 = hierarchies.some((hierarchy) => hierarchy.version === 1);
  const hasV2 = hierarchies.some((hierarchy) => hierarchy.version === 2);
  if (!hasV1 && !hasV2) return undefined;
  return { mode: hasV1 ? (hasV2 ? "hybrid" : "v1") : "v2", hierarchies };
}

// What mount options of a v1 hierarchy are not controllers (cgroups(7), kernel cgroup1_show_options).
const OTHER_OPTIONS = new Set([
  "rw",
  "ro",
  "noprefix",
  "xattr",
  "clone_children",
  "cpuset_v2_mode",
  "favordynmods",
  "none",
]);

function isController(option: string): boolean {
  return option !== "" && !OTHER_OPTIONS.has(option) && !option.startsWith("release_agent=");
}

/** proc(5): blank, tab, newline and backslash are written in octal. */
function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The cgroup in the hierarchy with this controller ("" is v2), from a /proc/<pid>/cgroup: undefined if there is none. */
function ownPath(procCgroup: string, controller: string): string | undefined {
  return cgroupLines(procCgroup).find(({ names }) => names.split(",").includes(controller))?.path;
}
