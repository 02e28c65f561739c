/**
 * The OCI runtime-spec configuration, version 1.3, as config.md and config-linux.md write it. 64-bit values are
 * numbers: JSON gives no more, and all ones (RLIM_INFINITY, "no limit") arrives as 2^64, which stands for it.
 *
 * Three extensions, used only between ctr's own processes:
 *  - a mount with destination "/" comes first and makes the root file system (type "overlay", options lowerdir=…,
 *    upperdir=…, workdir=…); without one, `root.path` is it;
 *  - `process.user.username` may hold an unresolved "name[:group]", which init resolves from the root file
 *    system's own passwd and group; `uid`, `gid` and `additionalGids` are then only what --group-add gave as numbers;
 *  - `secrets` are files for /run/secrets. They are no part of a config.json, and cross beside it.
 */
export interface Spec {
  readonly ociVersion: string;
  readonly process: Process;
  readonly root: Root;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly mounts?: readonly Mount[];
  readonly hooks?: Hooks;
  readonly annotations?: StringMap;
  readonly linux?: Linux;
  readonly secrets?: readonly SecretFile[];
}

/** A file that a container's programs may read, and that is in no layer; `path` is in /run/secrets or elsewhere. */
export interface SecretFile {
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly content: Uint8Array;
}

export interface StringMap {
  readonly [key: string]: string;
}

export interface Root {
  readonly path: string;
  readonly readonly?: boolean;
}

/** runtime-spec config.md#mounts */
export interface Mount {
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
}

/** runtime-spec config.md#process */
export interface Process {
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly user: User;
  readonly args: readonly string[];
  readonly env?: readonly string[];
  readonly cwd: string;
  readonly capabilities?: Capabilities;
  readonly rlimits?: readonly Rlimit[];
  readonly noNewPrivileges?: boolean;
  readonly apparmorProfile?: string;
  readonly oomScoreAdj?: number;
  readonly selinuxLabel?: string;
  readonly ioPriority?: { readonly class: string; readonly priority: number };
  readonly scheduler?: Scheduler;
  readonly execCPUAffinity?: { readonly initial?: string; readonly final?: string };
}

export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly umask?: number;
  readonly additionalGids?: readonly number[];
  readonly username?: string;
}

/** The five sets, names with their CAP_ prefix. An absent set is empty. */
export interface Capabilities {
  readonly bounding?: readonly string[];
  readonly effective?: readonly string[];
  readonly inheritable?: readonly string[];
  readonly permitted?: readonly string[];
  readonly ambient?: readonly string[];
}

/** `type` is RLIMIT_NOFILE and its like; 2^64 is RLIM_INFINITY. */
export interface Rlimit {
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

export interface Scheduler {
  readonly policy: string;
  readonly nice?: number;
  readonly priority?: number;
  readonly flags?: readonly string[];
  readonly runtime?: number;
  readonly deadline?: number;
  readonly period?: number;
}

/** runtime-spec config.md#posix-platform-hooks */
export interface Hooks {
  readonly prestart?: readonly Hook[];
  readonly createRuntime?: readonly Hook[];
  readonly createContainer?: readonly Hook[];
  readonly startContainer?: readonly Hook[];
  readonly poststart?: readonly Hook[];
  readonly poststop?: readonly Hook[];
}

/** `timeout` in seconds. */
export interface Hook {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly timeout?: number;
}

/** runtime-spec config-linux.md */
export interface Linux {
  readonly namespaces?: readonly Namespace[];
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
  readonly timeOffsets?: { readonly [clock: string]: { readonly secs?: number; readonly nanosecs?: number } };
  readonly devices?: readonly Device[];
  /** By their names on the host. */
  readonly netDevices?: { readonly [name: string]: { readonly name?: string } };
  readonly cgroupsPath?: string;
  readonly resources?: Resources;
  readonly intelRdt?: IntelRdt;
  readonly memoryPolicy?: MemoryPolicy;
  readonly sysctl?: StringMap;
  readonly seccomp?: Seccomp;
  readonly rootfsPropagation?: RootfsPropagation;
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly mountLabel?: string;
  readonly personality?: { readonly domain: "LINUX" | "LINUX32"; readonly flags?: readonly string[] };
}

export type NamespaceType = "pid" | "network" | "mount" | "ipc" | "uts" | "user" | "cgroup" | "time";
export type RootfsPropagation = "shared" | "slave" | "private" | "unbindable" | "rshared" | "rslave" | "rprivate";

/** A new namespace, or with `path` the one to join. */
export interface Namespace {
  readonly type: NamespaceType;
  readonly path?: string;
}

export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** `type`: c and u are character devices, b block, p a pipe (which has no numbers). */
export interface Device {
  readonly path: string;
  readonly type: "c" | "u" | "b" | "p";
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** runtime-spec config-linux.md#intelrdt; the last two are of 1.1 and 1.2, which had no `enableMonitoring`. */
export interface IntelRdt {
  readonly closID?: string;
  readonly l3CacheSchema?: string;
  readonly memBwSchema?: string;
  readonly schemata?: readonly string[];
  readonly enableMonitoring?: boolean;
  readonly enableCMT?: boolean;
  readonly enableMBM?: boolean;
}

/** runtime-spec config-linux.md#memory-policy */
export interface MemoryPolicy {
  readonly mode: string;
  readonly nodes?: string;
  readonly flags?: readonly string[];
}

/** runtime-spec config-linux.md#control-groups */
export interface Resources {
  readonly devices?: readonly DeviceRule[];
  readonly memory?: MemoryResources;
  readonly cpu?: CpuResources;
  readonly pids?: { readonly limit?: number };
  readonly blockIO?: BlockIoResources;
  readonly hugepageLimits?: readonly HugepageLimit[];
  readonly network?: NetworkResources;
  readonly rdma?: { readonly [device: string]: { readonly hcaHandles?: number; readonly hcaObjects?: number } };
  /** Files of cgroup v2 and what is written into them. */
  readonly unified?: StringMap;
}

/** `access` of r, w and m; an absent type is a (all), an absent number is every number. */
export interface DeviceRule {
  readonly allow: boolean;
  readonly type?: "a" | "c" | "b";
  readonly major?: number;
  readonly minor?: number;
  readonly access?: string;
}

/** Bytes; -1 is no limit. `swap` is memory and swap together. */
export interface MemoryResources {
  readonly limit?: number;
  readonly reservation?: number;
  readonly swap?: number;
  readonly kernel?: number;
  readonly kernelTCP?: number;
  readonly swappiness?: number;
  readonly disableOOMKiller?: boolean;
  readonly useHierarchy?: boolean;
  readonly checkBeforeUpdate?: boolean;
}

/** Times in microseconds. */
export interface CpuResources {
  readonly shares?: number;
  readonly quota?: number;
  readonly burst?: number;
  readonly period?: number;
  readonly realtimeRuntime?: number;
  readonly realtimePeriod?: number;
  readonly cpus?: string;
  readonly mems?: string;
  readonly idle?: number;
}

export interface BlockIoResources {
  readonly weight?: number;
  readonly leafWeight?: number;
  readonly weightDevice?: readonly WeightDevice[];
  readonly throttleReadBpsDevice?: readonly ThrottleDevice[];
  readonly throttleWriteBpsDevice?: readonly ThrottleDevice[];
  readonly throttleReadIOPSDevice?: readonly ThrottleDevice[];
  readonly throttleWriteIOPSDevice?: readonly ThrottleDevice[];
}

export interface WeightDevice {
  readonly major: number;
  readonly minor: number;
  readonly weight?: number;
  readonly leafWeight?: number;
}

export interface ThrottleDevice {
  readonly major: number;
  readonly minor: number;
  readonly rate: number;
}

export interface HugepageLimit {
  readonly pageSize: string;
  readonly limit: number;
}

export interface NetworkResources {
  readonly classID?: number;
  readonly priorities?: readonly { readonly name: string; readonly priority: number }[];
}

/** runtime-spec config-linux.md#seccomp */
export interface Seccomp {
  readonly defaultAction: SeccompAction;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls?: readonly SeccompSyscall[];
}

export type SeccompAction =
  | "SCMP_ACT_KILL"
  | "SCMP_ACT_KILL_PROCESS"
  | "SCMP_ACT_KILL_THREAD"
  | "SCMP_ACT_TRAP"
  | "SCMP_ACT_ERRNO"
  | "SCMP_ACT_TRACE"
  | "SCMP_ACT_ALLOW"
  | "SCMP_ACT_LOG"
  | "SCMP_ACT_NOTIFY";

export type SeccompOperator =
  | "SCMP_CMP_NE"
  | "SCMP_CMP_LT"
  | "SCMP_CMP_LE"
  | "SCMP_CMP_EQ"
  | "SCMP_CMP_GE"
  | "SCMP_CMP_GT"
  | "SCMP_CMP_MASKED_EQ";

export interface SeccompSyscall {
  readonly names: readonly string[];
  readonly action: SeccompAction;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArg[];
}

/**
 * For MASKED_EQ `value` is the mask and `valueTwo` what must be left. What JSON's numbers cannot hold is a bigint
 * (`parseJson`).
 */
export interface SeccompArg {
  readonly index: number;
  readonly value: number | bigint;
  readonly valueTwo?: number | bigint;
  readonly op: SeccompOperator;
}
