/** What test/oci/world.c prints, and reading of its mountinfo lines. */

export interface Node {
  readonly kind: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly major: number;
  readonly minor: number;
  readonly target?: string;
}

export interface World {
  readonly uid: readonly number[];
  readonly gid: readonly number[];
  readonly groups: readonly number[];
  readonly umask: number;
  readonly pid: number;
  readonly ppid: number;
  readonly session: number;
  readonly processGroup: number;
  readonly cwd: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** Hexadecimal masks. */
  readonly capabilities: { readonly [set: string]: string };
  readonly noNewPrivileges: number;
  readonly seccomp: number;
  readonly dumpable: number;
  readonly parentDeathSignal: number;
  readonly rlimits: { readonly [type: string]: readonly [soft: number, hard: number] };
  readonly scheduler: { readonly [key: string]: number };
  readonly ioPriority: readonly [kind: number, level: number];
  readonly affinity: readonly number[];
  readonly blocked: readonly number[];
  readonly ignored: readonly number[];
  readonly namespaces: { readonly [kind: string]: string };
  readonly hostname: string;
  readonly domainname: string;
  readonly machine: string;
  readonly personality: number;
  readonly oomScoreAdj: string;
  readonly label: string;
  readonly timeOffsets: string;
  readonly uidMap: string;
  readonly gidMap: string;
  readonly loginuid: string;
  readonly monotonic: number;
  readonly boottime: number;
  readonly cgroups: readonly string[];
  readonly mounts: readonly string[];
  readonly dev: { readonly [name: string]: Node };
  readonly root: { readonly [name: string]: Node };
  readonly fds: { readonly [fd: string]: string };
  readonly processes: number;
  readonly interfaces: readonly string[];
  readonly terminal: boolean;
  readonly controllingTerminal: boolean;
  readonly size: readonly [rows: number, columns: number];
  readonly answers: readonly unknown[];
}

export interface MountLine {
  readonly place: string;
  /** Which directory of the file system is mounted. */
  readonly root: string;
  readonly options: readonly string[];
  /** `shared`, `master`, `unbindable`; none is private. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** The lines of a mountinfo (proc(5)), in the order in which they were mounted. */
export function mountLines({ mounts }: Pick<World, "mounts">): readonly MountLine[] {
  return mounts.map((line) => {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , root = "", place = "", options = "", ...tags] = left.split(" ");
    const [type = "", source = "", superOptions = ""] = right.split(" ");
    const propagation = tags.filter((tag) => tag !== "").map((tag) => tag.replace(/:.*/, ""));
    return {
      place,
      root,
      options: options.split(","),
      propagation,
      type,
      source,
      superOptions: superOptions.split(","),
    };
  });
}

/** What is mounted last on `place`. Throws when there is nothing. */
export function mountAt(world: Pick<World, "mounts">, place: string): MountLine {
  const found = mountLines(world).findLast((line) => line.place === place);
  if (found === undefined) throw new Error(`nothing is mounted on ${place}`);
  return found;
}
