/** What a container sees as its files: the root, the engine's mounts, its files of /etc, and what the user has asked for. */
import type { Engine } from "../db/engine.ts";
import { defaultMounts } from "../security/paths.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { placeholderLayer } from "../snapshot/placeholders.ts";
import { forgetVolatile, makeWritableSnapshot, writableSnapshot } from "../snapshot/writable.ts";
import type { Mount } from "../spec/runtime.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import { isRunning } from "../sys/process.ts";
import { localMount } from "../volume/local-driver.ts";
import type { MountPoint } from "../volume/mount-point.ts";
import { makeSources, usersOf } from "../volume/store.ts";
import { etcPaths } from "./etc-files.ts";
import type { ContainerRecord } from "./record.ts";
import { type Donors, ipcMounts } from "./shared-namespaces.ts";
import { containerById } from "./store.ts";

/**
 * The root file system: where init mounts it, in its own mount namespace only (an upper directory covers itself), and the
 * overlay that it is; none where the place holds a whole tree, which `makeFlatRoot` has made.
 */
export function rootOf(engine: Engine, record: ContainerRecord, isWritable: boolean): RootPlace {
  if (record.driver !== undefined) return { place: writableSnapshot(engine.root, record.id).upper, root: undefined };
  const lower = lowerDirectories(engine, record.layers);
  const { upper, work } = makeWritableSnapshot(engine.root, record.id, lower);
  const layers = [...lower, placeholderLayer(engine.root)];
  if (isWritable) {
    const options = [`upperdir=${upper}`, `workdir=${work}`];
    if (record.hostConfig.AutoRemove) {
      forgetVolatile(work);
      options.push(VOLATILE);
    }
    return { place: upper, root: rootMount(layers, options) };
  }
  const writable = [`upperdir=${work}/upper`, `workdir=${work}/work`];
  return { place: upper, root: rootMount([upper, ...layers], writable), scratch: work };
}

/** The root's mount as the container is to see it. */
export function mappedRoot(place: string, root: Mount | undefined, isMapped: boolean): Mount[] {
  if (root === undefined)
    return isMapped ? [{ destination: "/", type: "bind", source: place, options: ["bind", IDMAP] }] : [];
  return [isMapped ? { ...root, options: [...(root.options ?? []), IDMAP] } : root];
}

/** What belongs to the host's root belongs to the container's (runtime-spec config.md#mounts). */
const IDMAP = "idmap";

export interface RootPlace {
  readonly place: string;
  readonly root: Mount | undefined;
  /** The root wants a file system of its own here first, with the directories `upper` and `work`. */
  readonly scratch?: string;
}

export interface RestingMounts extends RootPlace {
  readonly mounts: readonly Mount[];
}

/** The overlay of these layers, topmost first. */
function rootMount(layers: readonly string[], writable: readonly string[]): Mount {
  const lowerdir = `lowerdir=${layers.map(escapeLayer).join(":")}`;
  return { destination: "/", type: "overlay", source: "overlay", options: [lowerdir, ...writable, ...PLAIN_OVERLAY] };
}

/**
 * The mounts that hold the files of a container at rest, for a look at them from outside: root, volumes, binds, the files of
 * /etc. Not writable, the container's own layer is only the topmost of those below, and what is made on the way (places to
 * mount on) goes to `scratch`, an empty file system that the caller mounts there. Makes what a start would make of them.
 */
export function restingMounts(engine: Engine, record: ContainerRecord, isWritable: boolean): RestingMounts {
  const { mounts, startedAt, supervisorPid, supervisorStartTime } = record.runtime;
  // Then it is init that fills its empty volumes.
  const isBeingStarted = supervisorPid !== process.pid && isRunning(supervisorPid, supervisorStartTime);
  makeSources(engine, mounts);
  const users = nearestFirst(
    mounts
      .filter((mount) => mount.Type !== "tmpfs")
      .map((mount) => userMount({ ...mount, Propagation: "" }, startedAt === undefined && !isBeingStarted)),
  );
  const taken = new Set(users.map((mount) => mount.destination));
  const etc = etcMounts(engine, record, undefined, false).filter(
    ({ destination, source }) => !taken.has(destination) && source !== undefined && exists(AT_FDCWD, source),
  );
  return { ...rootOf(engine, record, isWritable), mounts: [...etc, ...users] };
}

/**
 * A kernel that redirects or splits metadata by default would make upper directories that no layer can be made of; one that
 * keeps an index would refuse a restart as long as anybody (`cp`) holds the mount of the run before.
 */
const PLAIN_OVERLAY = ["redirect_dir=off", "metacopy=off", "index=off"];

/**
 * What is removed with the end of its container is not worth being written to the disk before that: without it the end of
 * the mount waits for all of the file system below (kernel 5.10, overlayfs.rst "Volatile mount").
 */
const VOLATILE = "volatile";

/** overlayfs separates layers by colons; our directories have none unless the engine's root does. */
function escapeLayer(path: string): string {
  return path.replace(/[\\:]/g, (character) => `\\${character}`);
}

/** The engine's mounts, then its files and the user's, those nearer to the root first (moby sortMounts). */
export function mountsOf(engine: Engine, record: ContainerRecord, donors: Donors): Mount[] {
  const ipc = ipcMounts(record.hostConfig, donors);
  const { hostConfig, runtime } = record;
  const isMapped = hostConfig.IDMappings !== undefined;
  const users: Mount[] = [
    ...runtime.mounts.map((mount) =>
      // With a user namespace they are filled already: fill-volumes.ts.
      userMount(mount, runtime.startedAt === undefined && !isMapped, sharers(engine, record, mount), isMapped),
    ),
    ...Object.entries(hostConfig.Tmpfs ?? {}).map(([destination, options]) => tmpfsMount(destination, options)),
  ];
  const taken = new Set(users.map((mount) => mount.destination));
  const engines = [
    ...defaultMounts({
      shmSize: hostConfig.ShmSize,
      isPrivileged: hostConfig.Privileged,
      isIpcShared: ipc !== undefined,
      // Root may mount sysfs anew for any network namespace; only a user namespace would have to bind the host's.
      isNetworkShared: false,
    }),
    ...(ipc ?? []),
  ].filter((mount) => !taken.has(mount.destination));
  const files = etcMounts(engine, record, donors.network, isMapped).filter(
    ({ destination }) => !taken.has(destination),
  );
  return [...engines, ...nearestFirst([...files, ...users])];
}

/** A volume on /etc takes the engine's files in, and one on /etc/x is not covered by it. */
function nearestFirst(mounts: readonly Mount[]): readonly Mount[] {
  const depth = (mount: Mount) => mount.destination.split("/").length;
  return mounts.toSorted((a, b) => depth(a) - depth(b));
}

/**
 * A recorded mount. `X-mount.subdir` is mount(8)'s word for a directory inside what is mounted, `X-ctr.copy-up` ours for
 * an empty volume that takes the image's content, once, before the first start.
 */
function userMount(
  mount: MountPoint,
  isFirstStart: boolean,
  sharedWith: readonly string[] = [],
  isMapped = false,
): Mount {
  if (mount.Type === "tmpfs") return tmpfsMount(mount.Destination, (mount.tmpfs ?? []).join(","));
  const { Destination: destination, Source, options: local } = mount;
  const { type, source, options } =
    local === undefined
      ? { type: "bind", source: Source, options: [mount.recursion === "disabled" ? "bind" : "rbind"] }
      : localMount(local);
  const propagation = type !== "bind" || mount.Propagation === "" ? [] : [mount.Propagation];
  const own = [
    // A bind keeps the host's owners, as Docker's does, unless it is asked for otherwise.
    ...(isMapped && (mount.Type === "volume" || mount.idmap === true) ? [IDMAP] : []),
    ...(mount.subpath === undefined ? [] : [`X-mount.subdir=${mount.subpath}`]),
    // What a new file system in memory takes in is lost with the container, so Docker shows none of it either.
    ...(isFirstStart && mount.copiesUp === true && type !== "tmpfs" ? [`X-ctr.copy-up=${Source}.filling`] : []),
    ...sharedWith.map((place) => `X-ctr.shared-with=${place}`),
  ];
  return { destination, type, source, options: [...options, ...accessOf(mount), ...propagation, ...own] };
}

const IN_MEMORY = ["tmpfs", "ramfs"];

/** Who runs with a volume that is a file system in memory: `pid:start time:destination` of each. */
function sharers(engine: Engine, { id }: ContainerRecord, { Name, options }: MountPoint): string[] {
  if (Name === undefined || options === undefined || !IN_MEMORY.includes(localMount(options).type)) return [];
  return usersOf(engine, Name).flatMap((user) => {
    const other = user === id ? undefined : containerById(engine, user);
    if (other === undefined || !isRunning(other.runtime.pid, other.runtime.pidStartTime)) return [];
    const { pid, pidStartTime, mounts } = other.runtime;
    return mounts.filter((mount) => mount.Name === Name).map((mount) => `${pid}:${pidStartTime}:${mount.Destination}`);
  });
}

/**
 * Read-only is read-only all the way down (Docker 25 and later), unless asked otherwise. Nothing is said of one that may
 * be written: what is read-only on the host stays so.
 */
function accessOf({ RW, recursion }: MountPoint): readonly string[] {
  if (RW) return [];
  return recursion === "writable" || recursion === "disabled" ? ["ro"] : ["ro", "rro"];
}

function etcMounts(
  engine: Engine,
  record: ContainerRecord,
  donor: ContainerRecord | undefined,
  isMapped: boolean,
): Mount[] {
  const paths = etcPaths(engine.root, donor?.id ?? record.id);
  const access = record.hostConfig.ReadonlyRootfs ? "ro" : "rw";
  const owners = isMapped ? [IDMAP] : [];
  const bind = (destination: string, source: string): Mount => ({
    destination,
    type: "bind",
    source,
    options: ["rbind", access, "rprivate", ...owners],
  });
  return [
    bind("/etc/resolv.conf", paths.resolvConf),
    bind("/etc/hostname", paths.hostname),
    bind("/etc/hosts", paths.hosts),
  ];
}

const TMPFS_DEFAULTS = ["rw", "nosuid", "nodev", "noexec"];
/** Each pair's words exclude each other: what the user says takes the default's place. */
const OPPOSITES: readonly (readonly [string, string])[] = [
  ["rw", "ro"],
  ["nosuid", "suid"],
  ["nodev", "dev"],
  ["noexec", "exec"],
];

function tmpfsMount(destination: string, options: string): Mount {
  const words = options === "" ? [] : options.split(",");
  const defaults = TMPFS_DEFAULTS.filter(
    (word) => !OPPOSITES.some((pair) => pair.includes(word) && pair.some((other) => words.includes(other))),
  );
  return { destination, type: "tmpfs", source: "tmpfs", options: [...defaults, ...words] };
}
