/**
 * What is done outside for a container before its init is born. In a user namespace that init is root, and nobody outside:
 * what it may not do is done for it, so the mounts of the host are made, with the owners they are to have, and handed to it
 * as descriptors.
 */
import { CtrError, EINVAL, ENOSPC, EPERM, isErrno } from "../errors/error.ts";
import { type HostMaps, hostTree, mappedBind } from "../rootfs/host-tree.ts";
import { withMountLabel } from "../rootfs/mount-label.ts";
import { treeOption } from "../rootfs/mount-options.ts";
import { shiftedOverlay } from "../rootfs/shifted-overlay.ts";
import { giveStreams } from "../rootfs/standard-streams.ts";
import { DEFAULT_DEVICES } from "../security/paths.ts";
import { resourceLimits } from "../security/process-image.ts";
import type { Mount, Process, Spec } from "../spec/runtime.ts";
import { AT_EMPTY_PATH, AT_RECURSIVE, Fd, O_RDONLY, open } from "../sys/fd.ts";
import { fstat, readText, S_IFIFO, S_IFMT, writeInto } from "../sys/file.ts";
import { MS_PRIVATE, mountSetattr } from "../sys/mount.ts";
import { prlimit } from "../sys/process.ts";
import { type IdRun, type IdRuns, outside, userNamespace } from "../sys/user-namespace.ts";
import { asksForIdMap } from "./asks-for-id-map.ts";
import { firstTree, type InitExtras, type OutsideStart, type StandardFds } from "./waiting-init.ts";

/** What was prepared, open until init has been started. */
export interface Outside extends Disposable {
  readonly start: OutsideStart;
  /** For init: what was done already is done. */
  readonly spec: Spec;
  /** What root of a user namespace may not do to itself: its chance to be killed, and higher limits. */
  limit(pid: number): void;
}

/** Of a container with a user namespace everything that only the host's root can do; of any other its idmapped mounts. */
export function prepareOutside(spec: Spec, stdio: StandardFds, extras: InitExtras): Outside {
  const first = firstTree(extras);
  return spec.linux?.namespaces?.some(({ type }) => type === "user") === true
    ? enterUserNamespace(spec, stdio, first)
    : mapMounts(spec, first);
}

function mapMounts(spec: Spec, first: number): Outside {
  using given = new GivenTrees(first);
  const give = (mount: Mount) => (asksForIdMap(mount) ? given.add(mount, mappedBind(mount, undefined)) : mount);
  const mounts = (spec.mounts ?? []).map(give);
  return { ...given.taken(), spec: { ...spec, mounts }, limit: () => {} };
}

/** Makes or opens the namespace, and everything init needs from outside. Its streams become its root's. */
function enterUserNamespace(spec: Spec, stdio: StandardFds, first: number): Outside {
  using given = new GivenTrees(first);
  using namespace = openNamespace(spec);
  const maps = { user: namespace.fd.number, uids: namespace.uids, gids: namespace.gids };
  const devices = [...DEFAULT_DEVICES, ...(spec.linux?.devices ?? [])];
  const mounts = withMountLabel(spec.mounts ?? [], spec.linux?.mountLabel).slice();
  const own = mounts[0]?.destination === "/" ? mounts.shift() : undefined;
  const root = own ?? { destination: "/", type: "bind", source: spec.root.path, options: ["rbind"] };
  const inside = [
    given.add(root, rootTree(spec, root, maps)),
    ...mounts.map((mount) => {
      const tree = hostTree(mount, maps, devices);
      return tree === undefined ? mount : given.add(mount, tree);
    }),
  ];
  const owner = outside(maps.uids, 0);
  // A program may open its own streams again (/dev/stdout). What is no pipe was somebody's before, and stays so.
  if (owner !== undefined) giveStreams(stdio.filter(isPipe), owner);
  const { oomScoreAdj, ...process } = spec.process;
  return {
    ...given.taken(namespace.fd.take()),
    spec: { ...spec, process, mounts: inside },
    limit(pid) {
      if (oomScoreAdj !== undefined) writeInto(`/proc/${pid}/oom_score_adj`, `${oomScoreAdj}`);
      permitLimits(pid, process);
    },
  };
}

/** The mounts that are handed to init; closed when disposed, unless they were taken. */
class GivenTrees implements Disposable {
  readonly #first: number;
  readonly #trees: Fd[] = [];
  #isTaken = false;

  constructor(first: number) {
    this.#first = first;
  }

  /** The mount of the spec with the number that its descriptor will have. */
  add(mount: Mount, tree: Fd): Mount {
    const option = treeOption(this.#first + this.#trees.push(tree) - 1);
    return { ...mount, options: [...(mount.options ?? []), option] };
  }

  /** All of them, and the user namespace. */
  taken(userNamespace?: number): Disposable & { readonly start: OutsideStart } {
    this.#isTaken = true;
    const trees = this.#trees.map(({ number }) => number);
    const namespace = userNamespace === undefined ? undefined : new Fd(userNamespace);
    return {
      start: { ...(userNamespace === undefined ? {} : { userNamespace }), trees },
      [Symbol.dispose]: () => {
        namespace?.close();
        this.#close();
      },
    };
  }

  [Symbol.dispose](): void {
    if (!this.#isTaken) this.#close();
  }

  #close(): void {
    for (const tree of this.#trees) tree.close();
  }
}

interface OpenNamespace extends Disposable {
  readonly fd: Fd;
  readonly uids: readonly IdRun[];
  readonly gids: readonly IdRun[];
}

function openNamespace({ linux }: Spec): OpenNamespace {
  const { path } = linux?.namespaces?.find(({ type }) => type === "user") ?? {};
  const uids = linux?.uidMappings ?? [];
  const gids = linux?.gidMappings ?? [];
  if (path === undefined) {
    if (uids.length === 0 || gids.length === 0)
      throw new CtrError("invalid", "linux.namespaces: a new user namespace needs uidMappings and gidMappings");
    return namespaceOf(makeNamespace(uids, gids), uids, gids);
  }
  const fd = open(path, O_RDONLY);
  // Another's: it has its maps already, and the spec need not repeat them.
  return uids.length > 0 && gids.length > 0 ? namespaceOf(fd, uids, gids) : namespaceOf(fd, ...mapsOfProcess(path));
}

function namespaceOf(fd: Fd, uids: readonly IdRun[], gids: readonly IdRun[]): OpenNamespace {
  return { fd, uids, gids, [Symbol.dispose]: () => fd.close() };
}

function makeNamespace(uids: readonly IdRun[], gids: readonly IdRun[]): Fd {
  try {
    return userNamespace(uids, gids);
  } catch (error) {
    if (isErrno(error, EINVAL))
      throw new CtrError("invalid", "the id mappings of the user namespace overlap, or are none", { cause: error });
    if (isErrno(error, ENOSPC))
      throw new CtrError(
        "unavailable",
        "this machine lets no more user namespaces be made (/proc/sys/user/max_user_namespaces, or 32 levels)",
        { cause: error },
      );
    if (isErrno(error, EPERM))
      throw new CtrError("denied", "this machine does not let user namespaces be made", { cause: error });
    throw error;
  }
}

/** The maps of the process whose `/proc/<pid>/ns/user` this is. */
function mapsOfProcess(path: string): readonly [uids: readonly IdRun[], gids: readonly IdRun[]] {
  const [, process] = /^(\/proc\/\d+)\/ns\/user$/.exec(path) ?? [];
  if (process === undefined)
    throw new CtrError(
      "invalid",
      `linux.namespaces: ${path} is joined, so uidMappings and gidMappings must say its ids`,
    );
  const { uids, gids } = idsOfProcess(process);
  return [uids, gids];
}

/** The ids of the user namespace that a process is in; `process` is its directory in /proc. */
export function idsOfProcess(process: string): IdRuns {
  return { uids: readMap(`${process}/uid_map`), gids: readMap(`${process}/gid_map`) };
}

function readMap(path: string): IdRun[] {
  return readText(path)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number);
      return { containerID, hostID, size };
    });
}

/** The overlay with the owners of its layers shifted if it says so; anything else as a bind is made. */
function rootTree(spec: Spec, root: Mount, maps: HostMaps): Fd {
  if (root.type === "overlay") {
    if (root.options?.includes("idmap") !== true)
      throw new CtrError("invalid", "the overlay of a container with a user namespace must say idmap");
    const options = root.options.filter((option) => option !== "idmap");
    return shiftedOverlay(spec.root.path, { ...root, options }, maps);
  }
  const tree = hostTree(root, maps, []);
  if (tree === undefined)
    throw new CtrError("invalid", `${root.type} as the root file system of a container with a user namespace`);
  // What it was cloned from may be the host's peer, and a root that has peers cannot be entered (pivot_root(2)).
  mountSetattr(tree.number, "", AT_EMPTY_PATH | AT_RECURSIVE, { propagation: MS_PRIVATE });
  return tree;
}

function isPipe(fd: number): boolean {
  return (fstat(fd).mode & S_IFMT) === S_IFIFO;
}

/**
 * Lets a process that has no right to raise its limits set these itself. What it would lower stays: it is still starting,
 * and needs more than it is to have. What cannot be raised its own attempt will say.
 */
function permitLimits(pid: number, process: Process): void {
  for (const wanted of resourceLimits(process)) {
    const { soft, hard } = prlimit(pid, wanted.resource);
    if (wanted.hard <= hard) continue;
    try {
      prlimit(pid, wanted.resource, { soft, hard: wanted.hard });
    } catch (error) {
      if (!isErrno(error, EPERM)) throw error;
    }
  }
}
