/**
 * From a recorded container to the runtime-spec that init executes: built anew at every start, because addresses,
 * layers' places and the other container's pid may have changed.
 */

import type { Engine } from "../db/engine.ts";
import type { ExecProcess, TerminalSize } from "../ipc/supervisor.ts";
import { allCapabilities, capabilitiesFromFlags, capabilityNames } from "../security/capabilities.ts";
import {
  DEFAULT_SYSCTLS,
  defaultMounts,
  MASKED_PATHS,
  READONLY_PATHS,
  thermalThrottlePaths,
} from "../security/paths.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { placeholderLayer } from "../snapshot/placeholders.ts";
import { makeWritableSnapshot, writableSnapshot } from "../snapshot/writable.ts";
import type { Capabilities, IdMapping, Linux, Mount, Process, Rlimit, Spec } from "../spec/runtime.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, readText } from "../sys/file.ts";
import { isRunning } from "../sys/process.ts";
import { localMount } from "../volume/local-driver.ts";
import type { MountPoint } from "../volume/mount-point.ts";
import { checkPropagation } from "../volume/propagation.ts";
import { makeSources, usersOf } from "../volume/store.ts";
import { specCgroupsPath } from "./cgroup-place.ts";
import { annotationsOf } from "./confinement.ts";
import { hostDevices, mappedDevices } from "./devices.ts";
import { DEFAULT_PATH, overlayEnv } from "./env.ts";
import { etcPaths, writeEtcFiles } from "./etc-files.ts";
import { idMapsOf } from "./id-maps.ts";
import { apparmorProfile, containerLabels, prepareLabels } from "./labels.ts";
import { linkEnvironment } from "./links.ts";
import type { ContainerRecord, HostConfig } from "./record.ts";
import { resourcesOf } from "./resources.ts";
import { type Donors, donorsOf, ipcMounts, namespacesOf } from "./shared-namespaces.ts";
import { containerById, isDonor } from "./store.ts";

export interface StartContext {
  readonly consoleSize?: TerminalSize | undefined;
}

/** The version of the runtime-spec that our specs are written in. */
export const OCI_VERSION = "1.2.0";

/**
 * The runtime-spec of a start. Makes what it names and what is not there yet: the writable layer, the files of /etc,
 * the directories of volumes and binds.
 */
export function runtimeSpec(engine: Engine, record: ContainerRecord, context: StartContext = {}): Spec {
  const { config, hostConfig } = record;
  const donors = donorsOf(engine, record);
  const donor = donors.network;
  const hostname = donor?.config.Hostname ?? config.Hostname;
  const { place, root } = rootOf(engine, record, true);
  const isMapped = hostConfig.IDMappings !== undefined;
  if (donor === undefined) writeEtcFiles(engine.root, record, hostname);
  makeSources(engine, record.runtime.mounts);
  checkPropagation(record.runtime.mounts);
  return {
    ociVersion: OCI_VERSION,
    process: mainProcess(record, hostname, context, linkVariables(engine, record)),
    root: { path: place, readonly: hostConfig.ReadonlyRootfs },
    ...(hostConfig.UTSMode === "host" ? {} : { hostname }),
    ...(config.Domainname === "" ? {} : { domainname: config.Domainname }),
    mounts: [...mappedRoot(place, root, isMapped), ...mountsOf(engine, record, donors)],
    annotations: annotationsOf(record),
    linux: linuxOf(record, donors),
  };
}

/** `runtimeSpec` for a start: what it names is also loaded and looked up. */
export async function startSpec(engine: Engine, record: ContainerRecord, context: StartContext = {}): Promise<Spec> {
  const ready = await withServers(record);
  await prepareLabels(record);
  const spec = runtimeSpec(engine, ready, context);
  if ((record.hostConfig.Secrets ?? []).length === 0) return spec;
  const { secretFiles } = await import("./secrets.ts");
  return { ...spec, secrets: secretFiles(engine, record) };
}

/** The record for `runtimeSpec`, with the servers of its volumes by number. Throws `unavailable` for one nobody knows. */
export async function withServers(record: ContainerRecord): Promise<ContainerRecord> {
  if (record.runtime.mounts.every(({ options }) => options === undefined)) return record;
  const { withAddresses } = await import("../volume/addresses.ts");
  return { ...record, runtime: { ...record.runtime, mounts: await withAddresses(record.runtime.mounts) } };
}

/**
 * The root file system: where init mounts it, in its own mount namespace only (an upper directory covers itself), and the
 * overlay that it is; none where the place holds a whole tree, which `makeFlatRoot` has made.
 */
function rootOf(engine: Engine, record: ContainerRecord, isWritable: boolean): RootPlace {
  if (record.driver !== undefined) return { place: writableSnapshot(engine.root, record.id).upper, root: undefined };
  const lower = lowerDirectories(engine, record.layers);
  const { upper, work } = makeWritableSnapshot(engine.root, record.id, lower);
  const layers = [...lower, placeholderLayer(engine.root)];
  if (isWritable) return { place: upper, root: rootMount(layers, [`upperdir=${upper}`, `workdir=${work}`]) };
  const writable = [`upperdir=${work}/upper`, `workdir=${work}/work`];
  return { place: upper, root: rootMount([upper, ...layers], writable), scratch: work };
}

/** The root's mount as the container is to see it. */
function mappedRoot(place: string, root: Mount | undefined, isMapped: boolean): Mount[] {
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

/** overlayfs separates layers by colons; our directories have none unless the engine's root does. */
function escapeLayer(path: string): string {
  return path.replace(/[\\:]/g, (character) => `\\${character}`);
}

function linkVariables(engine: Engine, record: ContainerRecord): readonly string[] {
  return (record.hostConfig.Links ?? []).length === 0 ? [] : linkEnvironment(engine, record);
}

function mainProcess(
  record: ContainerRecord,
  hostname: string,
  context: StartContext,
  links: readonly string[] = [],
): Process {
  const { config } = record;
  const size = context.consoleSize;
  return {
    ...commonProcess(record),
    terminal: config.Tty,
    ...(size === undefined ? {} : { consoleSize: { height: size.rows, width: size.columns } }),
    args: commandLine(record),
    env: environment(record, hostname, config.Tty, links),
    cwd: config.WorkingDir === "" ? "/" : config.WorkingDir,
    user: userOf(record, config.User),
    capabilities: containerCapabilities(record.hostConfig),
  };
}

/** ENTRYPOINT and CMD together. */
export function commandLine(record: ContainerRecord): readonly string[] {
  return [...(record.config.Entrypoint ?? []), ...(record.config.Cmd ?? [])];
}

type CommonFields = "apparmorProfile" | "noNewPrivileges" | "oomScoreAdj" | "rlimits" | "selinuxLabel";

function commonProcess(record: ContainerRecord): Pick<Process, CommonFields> {
  const oomScore = record.hostConfig.OomScoreAdj ?? 0;
  const profile = apparmorProfile(record.hostConfig);
  const labels = containerLabels(record);
  return {
    ...(profile === undefined ? {} : { apparmorProfile: profile }),
    ...(labels === undefined ? {} : { selinuxLabel: labels.process }),
    noNewPrivileges: hasNoNewPrivileges(record.hostConfig),
    ...(oomScore === 0 ? {} : { oomScoreAdj: oomScore }),
    rlimits: record.hostConfig.Ulimits.map(
      ({ Name, Soft, Hard }): Rlimit => ({
        type: `RLIMIT_${Name.toUpperCase()}`,
        soft: limit(Soft),
        hard: limit(Hard),
      }),
    ),
  };
}

/** RLIM_INFINITY as the parser of the spec has it. */
function limit(value: number): number {
  return value === -1 ? 2 ** 64 : value;
}

function hasNoNewPrivileges(hostConfig: HostConfig): boolean {
  const last = hostConfig.SecurityOpt?.findLast((option) => /^no-new-privileges(=|$)/.test(option));
  return last === "no-new-privileges" || last === "no-new-privileges=true";
}

function environment(
  record: ContainerRecord,
  hostname: string,
  isTty: boolean,
  links: readonly string[] = [],
): string[] {
  const defaults = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${hostname}`, ...(isTty ? ["TERM=xterm"] : []), ...links];
  return overlayEnv(defaults, record.config.Env);
}

/** The name is resolved by init, in the root file system; a user is always given, so that numbers are looked up too. */
function userOf(record: ContainerRecord, user: string): Process["user"] {
  const numbers = (record.hostConfig.GroupAdd ?? []).filter((group) => /^\d+$/.test(group)).map(Number);
  return {
    uid: 0,
    gid: 0,
    umask: 0o022,
    username: user,
    ...(numbers.length === 0 ? {} : { additionalGids: numbers }),
  };
}

/** True if a process with CAP_SYS_PTRACE may share the container's process namespace: its own, or those of others in there. */
export function mayBeTraced(engine: Engine, record: ContainerRecord): boolean {
  const { CapAdd, PidMode, Privileged } = record.hostConfig;
  const hasOwn =
    Privileged || ((CapAdd ?? []).length > 0 && capabilities(record.hostConfig).includes("CAP_SYS_PTRACE"));
  return hasOwn || (PidMode ?? "") !== "" || isDonor(engine, record.id);
}

function capabilities(hostConfig: HostConfig): readonly string[] {
  const { CapAdd, CapDrop, Privileged } = hostConfig;
  if (Privileged) return availableCapabilities(allCapabilities());
  const names = capabilitiesFromFlags(CapAdd ?? [], CapDrop ?? []);
  const isAll = (CapAdd ?? []).some((name) => /^(CAP_)?ALL$/i.test(name.trim()));
  return isAll ? availableCapabilities(names) : names;
}

/** "All" is all that there are to give: in a container or a locked down host our own bounding set lacks some. */
function availableCapabilities(names: readonly string[]): readonly string[] {
  const [, mask = "0"] = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status")) ?? [];
  const own = capabilityNames(BigInt(`0x${mask}`));
  return names.filter((name) => own.includes(name));
}

/** Those that a container's own program may have. */
export function containerCapabilities(hostConfig: HostConfig): Capabilities {
  return capabilitySets(capabilities(hostConfig));
}

/** Inheritable and ambient stay empty. */
function capabilitySets(names: readonly string[]): Capabilities {
  return { bounding: names, effective: names, permitted: names };
}

/** A further process in a running container (`exec`): the container's own where the request says nothing. */
export function execProcess(record: ContainerRecord, exec: ExecProcess): Process {
  const { config, hostConfig } = record;
  const names = exec.privileged ? availableCapabilities(allCapabilities()) : capabilities(hostConfig);
  return {
    ...commonProcess(record),
    terminal: exec.terminal,
    args: exec.args,
    env: overlayEnv(environment(record, config.Hostname, exec.terminal), exec.env),
    cwd: exec.cwd ?? (config.WorkingDir === "" ? "/" : config.WorkingDir),
    user: userOf(record, exec.user ?? config.User),
    capabilities: capabilitySets(names),
  };
}

/** The engine's mounts, then its files and the user's, those nearer to the root first (moby sortMounts). */
function mountsOf(engine: Engine, record: ContainerRecord, donors: Donors): Mount[] {
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

function linuxOf(record: ContainerRecord, donors: Donors): Linux {
  const { hostConfig } = record;
  const hasOwnNetwork = donors.network === undefined && hostConfig.NetworkMode !== "host";
  const isHidden = hostConfig.AreSystemPathsHidden;
  const maps = idMapsOf(hostConfig);
  return {
    namespaces: namespacesOf(record, donors),
    ...(maps === undefined ? {} : { uidMappings: maps.uids, gidMappings: maps.gids }),
    cgroupsPath: specCgroupsPath(record),
    resources: resourcesOf(hostConfig),
    sysctl: { ...(hasOwnNetwork ? networkSysctls(maps?.gids) : {}), ...hostConfig.Sysctls },
    ...(isHidden ? { maskedPaths: [...MASKED_PATHS, ...thermalPaths()], readonlyPaths: READONLY_PATHS } : {}),
    ...devicesOf(hostConfig),
    ...mountLabelOf(record),
  };
}

function mountLabelOf(record: ContainerRecord): Pick<Linux, "mountLabel"> {
  const labels = containerLabels(record);
  return labels === undefined ? {} : { mountLabel: labels.file };
}

/** Groups that are not mapped cannot be named: of several runs the first is let send pings. */
function networkSysctls(gids: readonly IdMapping[] | undefined): { readonly [name: string]: string } {
  const first = gids?.find(({ containerID }) => containerID === 0);
  if (first === undefined) return DEFAULT_SYSCTLS;
  return { ...DEFAULT_SYSCTLS, "net.ipv4.ping_group_range": `0 ${first.size - 1}` };
}

function devicesOf({ Privileged, Devices = [] }: HostConfig): Pick<Linux, "devices"> {
  if (!Privileged) return Devices.length === 0 ? {} : { devices: mappedDevices(Devices).devices };
  const mapped = mappedDevices(Devices.filter(({ PathOnHost, PathInContainer }) => PathOnHost !== PathInContainer));
  return { devices: [...hostDevices(), ...mapped.devices] };
}

function thermalPaths(): readonly string[] {
  const paths = thermalThrottlePaths(navigator.hardwareConcurrency);
  return paths[0] !== undefined && exists(AT_FDCWD, paths[0]) ? paths : [];
}
