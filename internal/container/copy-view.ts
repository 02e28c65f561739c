/**
 * A container's files as it sees them: behind the root of its first process while it runs, so with its volumes, binds and
 * tmpfs; at rest from mounts made for the occasion, in a mount namespace that ends with this process. Every path goes
 * through `openInside`, which the kernel resolves below the root.
 */
import type { Engine } from "../db/engine.ts";
import { CtrError, EAGAIN, EEXIST, ENOENT, ESRCH, isErrno } from "../errors/error.ts";
import { mountInRoot, mountRoot, PreparedMounts } from "../rootfs/mounts.ts";
import { ownMounts } from "../rootfs/own-mounts.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, open, POLLIN, poll } from "../sys/fd.ts";
import {
  fchmodat,
  fchownat,
  fstat,
  fstatfsType,
  mkdirat,
  openat2,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  type Stat,
  statx,
  utimensat,
} from "../sys/file.ts";
import type { PathBytes } from "../sys/lib.ts";
import { mount as mountFileSystem } from "../sys/mount.ts";
import { isRunning, pidfdOpen, processStartTime } from "../sys/process.ts";
import type { IdRuns } from "../sys/user-namespace.ts";
import { currentContainer } from "./control.ts";
import { endsInDot } from "./copy-path.ts";
import type { LeaveOut } from "./copy-source.ts";
import type { PlaceFinder } from "./copy-target.ts";
import { makeFlatRoot } from "./flat-root.ts";
import { idMapsOf } from "./id-maps.ts";
import type { ContainerRecord } from "./record.ts";
import { withServers } from "./spec.ts";
import { restingMounts } from "./spec-mounts.ts";
import { containerById, hasKeeper, NOBODY, patchRuntime } from "./store.ts";

export interface ContainerView extends Disposable {
  readonly root: Fd;
  /** Its first process runs: tmpfs are there too. */
  readonly isLive: boolean;
  /** With a user namespace files of one that runs have the owners that these ids make of the container's. */
  readonly ids?: IdRuns | undefined;
  readonly record: ContainerRecord;
}

/** Opens the files of a container. At rest, with `isWritable`, it is kept from being started or removed meanwhile. */
export async function openView(engine: Engine, nameOrId: string, isWritable: boolean): Promise<ContainerView> {
  let record = currentContainer(engine, nameOrId);
  if (record.state === "running" || record.state === "paused") {
    const root = openLiveRoot(record);
    const ids = idMapsOf(record.hostConfig);
    if (root !== undefined) return { root, isLive: true, ids, record, [Symbol.dispose]: () => root.close() };
    // It came to its end just now.
    record = currentContainer(engine, record.id);
  }
  return await openResting(engine, record, isWritable);
}

/** The root of the container's first process; undefined when that is gone. */
function openLiveRoot({ runtime }: ContainerRecord): Fd | undefined {
  const { pid, pidStartTime } = runtime;
  if (pid === 0) return undefined;
  try {
    using root = open(`/proc/${pid}/root`, O_PATH | O_DIRECTORY);
    const namespace = namespaceOf(pid);
    // Opened, then asked: had the number gone to another process, it would not have this start time.
    if (!isRunning(pid, pidStartTime)) return undefined;
    if (namespace === namespaceOf("self")) throw new CtrError("internal", "the container shows the host's own mounts");
    return new Fd(root.take());
  } catch (error) {
    if (isErrno(error, ENOENT, ESRCH)) return undefined;
    throw error;
  }
}

function namespaceOf(pid: number | "self"): string {
  return new TextDecoder().decode(readlinkat(AT_FDCWD, `/proc/${pid}/ns/mnt`));
}

async function openResting(engine: Engine, record: ContainerRecord, isWritable: boolean): Promise<ContainerView> {
  if (record.state !== "created" && record.state !== "exited" && (isWritable || record.state !== "restarting")) {
    throw new CtrError("conflict", `container ${record.name} is ${record.state}: its files cannot be copied`);
  }
  using stack = new DisposableStack();
  if (isWritable) stack.use(keepAtRest(engine, record));
  if (record.driver !== undefined) makeFlatRoot(engine, record);
  const { place, root: rootMount, mounts, scratch } = restingMounts(engine, await withServers(record), isWritable);
  stack.use(ownMounts());
  if (scratch !== undefined) {
    mountFileSystem("tmpfs", scratch, "tmpfs", 0, "size=16m,mode=700");
    for (const name of ["upper", "work"]) mkdirat(AT_FDCWD, `${scratch}/${name}`, 0o755);
    // What is seen as `/` has the attributes of the container's.
    const { uid, gid, mode, atimeNs, mtimeNs } = statx(AT_FDCWD, place);
    fchownat(AT_FDCWD, `${scratch}/upper`, uid, gid);
    fchmodat(AT_FDCWD, `${scratch}/upper`, mode & 0o7777);
    utimensat(AT_FDCWD, `${scratch}/upper`, atimeNs, mtimeNs);
  }
  const root = stack.use(mountRoot(place, rootMount));
  const prepared = new PreparedMounts();
  for (const mount of mounts) mountInRoot(root.number, mount, prepared);
  const owned = stack.move();
  return { root, isLive: false, record, [Symbol.dispose]: () => owned.dispose() };
}

/** How often, for a second each, another command that works on the container is waited for. */
const PATIENCE = 30;

/** Makes this process the one that answers for a container at rest, until disposed: two may not write to one layer. */
export function keepAtRest(engine: Engine, record: ContainerRecord): DisposableStack {
  const keeper = { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 };
  const isFree = (now: ContainerRecord) =>
    (now.state === "created" || now.state === "exited") && !hasKeeper(now.runtime);
  for (let attempt = 0; patchRuntime(engine, record.id, { keeper }, isFree) === undefined; attempt++) {
    const now = containerById(engine, record.id);
    if (now === undefined) throw new CtrError("not-found", `No such container: ${record.name}`);
    if ((now.state !== "created" && now.state !== "exited") || attempt === PATIENCE) {
      throw new CtrError("conflict", `container ${record.name} is in use by another command`);
    }
    waitForEnd(now.runtime.supervisorPid);
  }
  const stack = new DisposableStack();
  stack.defer(() => {
    const isOurs = ({ runtime }: ContainerRecord) =>
      runtime.supervisorPid === keeper.pid && runtime.supervisorStartTime === keeper.startTime;
    if (containerById(engine, record.id) !== undefined) patchRuntime(engine, record.id, { keeper: NOBODY }, isOurs);
  });
  return stack;
}

function waitForEnd(pid: number): void {
  try {
    using process = pidfdOpen(pid);
    poll(process.number, POLLIN, 1000);
  } catch (error) {
    if (!isErrno(error, ESRCH)) throw error;
  }
}

const RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
/** openat2(2): EAGAIN when something was renamed or mounted while `..` was resolved; a container may try that for ever. */
const ATTEMPTS = 256;

/** Opens a path as the container would see it. Throws ENOENT and its like. */
export function openInside(root: Fd, path: PathBytes, flags: number): Fd {
  for (let attempt = 1; ; attempt++) {
    try {
      return openat2(root.number, path, { flags, resolve: RESOLVE });
    } catch (error) {
      if (!isErrno(error, EAGAIN) || attempt === ATTEMPTS) throw error;
    }
  }
}

/** f_type of file systems that the kernel makes up (statfs(2), magic.h): they hold nothing of the container's. */
const MADE_UP = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x19800202, // mqueue
  0x1cd1, // devpts
]);

/** For the walk over a tree that has such a file system, or the container's /dev, mounted in it. */
export function kernelsOwn({ root, isLive }: ContainerView): LeaveOut {
  if (!isLive) return () => false;
  const device = ({ devMajor, devMinor }: Stat) => `${devMajor}:${devMinor}`;
  let dev: string | undefined;
  try {
    dev = device(look(root, "/dev").stat);
  } catch (error) {
    // Without one there is none to leave out.
    if (!isErrno(error, ENOENT)) throw error;
  }
  return (stat, directory) => stat.isMountRoot && (device(stat) === dev || MADE_UP.has(fstatfsType(directory.number)));
}

/** What a path in a container is: a link itself, unless the path ends in `/` or `/.`. */
export interface Found {
  readonly stat: Stat;
  /** Where a link leads, from the container's root; what is not there yet is part of it. */
  readonly target?: string;
}

/** Throws ENOENT, ENOTDIR where there is nothing. `path` is absolute. */
export function look(root: Fd, path: string): Found {
  const mustFollow = path.endsWith("/") || endsInDot(path);
  using place = openInside(root, path, O_PATH | (mustFollow ? O_DIRECTORY : O_NOFOLLOW));
  const stat = fstat(place.number);
  return (stat.mode & S_IFMT) === S_IFLNK ? { stat, target: canonical(root, path) } : { stat };
}

export function isDirectory(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFDIR;
}

const MAX_LINKS = 255;

/**
 * The path with its links followed, as text: for names and messages, and to be resolved again before anything is done. What
 * is not there stays as it is.
 */
export function canonical(root: Fd, path: string): string {
  const pending = path.split("/");
  let done: string[] = [];
  for (let links = 0; pending.length > 0; ) {
    const name = pending.shift() ?? "";
    if (name === "" || name === ".") continue;
    if (name === "..") {
      done.pop();
      continue;
    }
    const target = linkTarget(root, `/${[...done, name].join("/")}`);
    if (target === undefined) done.push(name);
    else {
      if (++links > MAX_LINKS) throw new CtrError("invalid", `${path}: too many links`);
      if (target.startsWith("/")) done = [];
      pending.unshift(...target.split("/"));
    }
  }
  return `/${done.join("/")}`;
}

function linkTarget(root: Fd, path: string): string | undefined {
  try {
    using place = openInside(root, path, O_PATH | O_NOFOLLOW);
    if ((fstat(place.number).mode & S_IFMT) !== S_IFLNK) return undefined;
    return new TextDecoder().decode(readlinkat(place.number, ""));
  } catch (error) {
    // Not there, or not to be reached: the use of the path will say.
    if (error instanceof CtrError) return undefined;
    throw error;
  }
}

/** Directories below one in the container; links in the names lead to places inside it. */
export class InsideContainer implements PlaceFinder {
  readonly #root: Fd;
  readonly #directory: string;

  constructor(root: Fd, directory: string) {
    this.#root = root;
    this.#directory = directory;
  }

  open(names: readonly string[]): Fd {
    const path = Buffer.concat([Buffer.from(`${this.#directory}/`), Buffer.from(names.join("/"), "latin1")]);
    return openInside(this.#root, path, O_RDONLY | O_DIRECTORY);
  }

  make(names: readonly string[]): Fd {
    try {
      return this.open(names);
    } catch (error) {
      const name = names.at(-1);
      if (!isErrno(error, ENOENT) || name === undefined) throw error;
      using parent = this.make(names.slice(0, -1));
      try {
        mkdirat(parent.number, Buffer.from(name, "latin1"), 0o755);
      } catch (problem) {
        if (!isErrno(problem, EEXIST)) throw problem;
      }
      return this.open(names);
    }
  }
}
