/** Which cgroup hierarchies this machine has, and where: v1, v2, or both (cgroups(7)). */
import { CtrError } from "../errors/error.ts";
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
  | "hugetlb";

/** One mounted hierarchy. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** Where it is mounted. */
  readonly mountPoint: string;
  /** v1: its controllers, and its name as `name=systemd`. v2: empty, they are read from `cgroup.controllers`. */
  readonly controllers: readonly string[];
}

/** `hybrid` is v1 with an additional v2 hierarchy that has no controllers we use. */
export interface Layout {
  readonly mode: "v1" | "hybrid" | "v2";
  readonly hierarchies: readonly Hierarchy[];
}

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
  try {
    if (statfs(MOUNT_POINT).type === CGROUP2_SUPER_MAGIC) {
      return { mode: "v2", hierarchies: [{ version: 2, mountPoint: MOUNT_POINT, controllers: [] }] };
    }
  } catch (error) {
    // Nothing mounted at the usual place: mountinfo knows the others.
    if (!(error instanceof CtrError) || error.kind !== "not-found") throw error;
  }
  const layout = parseLayout(readText("/proc/self/mountinfo", MAX_MOUNTINFO));
  if (layout === undefined)
    throw new CtrError("unsupported", `no cgroup hierarchy is mounted (expected at ${MOUNT_POINT})`);
  return layout;
}

/** The layout that a mountinfo (proc(5)) shows, or undefined if it has no cgroup mount. */
export function parseLayout(mountinfo: string): Layout | undefined {
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
    hierarchies.push({ version: type === "cgroup2" ? 2 : 1, mountPoint, controllers });
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

/** Our own cgroup in the hierarchy with this controller, from a /proc/<pid>/cgroup: undefined if there is none. */
export function ownPath(procCgroup: string, controller: string): string | undefined {
  for (const line of procCgroup.split("\n")) {
    const first = line.indexOf(":");
    const second = line.indexOf(":", first + 1);
    if (second < 0) continue;
    if (
      line
        .slice(first + 1, second)
        .split(",")
        .includes(controller)
    )
      return line.slice(second + 1);
  }
  return undefined;
}
