/**
 * What is recorded of a container. `config` and `hostConfig` are Docker's Config and HostConfig (the part this engine
 * knows), kept as JSON; `runtime` is what its supervisor wrote last. What really runs is asked of the kernel.
 */

import type { Healthcheck } from "../image/config.ts";
import type { MountRequest } from "../volume/mount-flag.ts";
import type { MountPoint } from "../volume/mount-point.ts";

/** Docker's Config: what the image says, with the user's flags over it. */
export interface ContainerConfig {
  readonly Hostname: string;
  readonly Domainname: string;
  /** `name|uid[:group|gid]`, or empty. */
  readonly User: string;
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly ExposedPorts?: { readonly [port: string]: Record<string, never> };
  readonly Tty: boolean;
  readonly OpenStdin: boolean;
  readonly StdinOnce: boolean;
  readonly Env: readonly string[];
  readonly Cmd: readonly string[] | null;
  readonly Image: string;
  readonly Volumes: { readonly [destination: string]: Record<string, never> } | null;
  readonly WorkingDir: string;
  readonly Entrypoint: readonly string[] | null;
  readonly Labels: { readonly [name: string]: string };
  readonly StopSignal?: string;
  /** Seconds; -1 waits for ever. */
  readonly StopTimeout?: number;
  /** Asked for by `--mac-address`. */
  readonly MacAddress?: string;
  readonly Healthcheck?: Healthcheck;
  /** Of the image: what runs a health check's shell form. */
  readonly Shell?: readonly string[];
}

/** One run of the health check. */
export interface HealthResult {
  /** RFC 3339 with nanoseconds. */
  readonly Start: string;
  readonly End: string;
  /** -1 when it took too long. */
  readonly ExitCode: number;
  readonly Output: string;
}

/** Docker's State.Health. */
export interface Health {
  readonly Status: "starting" | "healthy" | "unhealthy";
  /** Failures since the last success. */
  readonly FailingStreak: number;
  /** The last results, oldest first. */
  readonly Log: readonly HealthResult[];
}

export interface PortBinding {
  readonly HostIp: string;
  readonly HostPort: string;
}

/** A device and its weight against others (`BlkioWeightDevice`). */
export interface WeightedDevice {
  readonly Path: string;
  readonly Weight: number;
}

/** A device and how much of it may be had in a second. */
export interface ThrottledDevice {
  readonly Path: string;
  readonly Rate: number;
}

/** A device of the host's in the container. */
export interface MappedDevice {
  readonly PathOnHost: string;
  readonly PathInContainer: string;
  /** Of r, w and m. */
  readonly CgroupPermissions: string;
}

/**
 * The part of HostConfig that a cgroup enforces. 0 and "" are unset; what is optional is absent in the rows of the
 * first version.
 */
export interface ResourceConfig {
  readonly CpuShares: number;
  /** Bytes; -1 is unlimited. */
  readonly Memory: number;
  readonly NanoCpus: number;
  readonly CpuPeriod: number;
  readonly CpuQuota: number;
  readonly CpusetCpus: string;
  readonly CpusetMems: string;
  readonly CpuRealtimePeriod?: number;
  readonly CpuRealtimeRuntime?: number;
  readonly MemoryReservation: number;
  /** Memory and swap together; -1 is unlimited, 0 the default of twice `Memory`. */
  readonly MemorySwap: number;
  /** 0 to 100; null is unset. */
  readonly MemorySwappiness?: number | null;
  readonly OomKillDisable?: boolean | null;
  /** 0 or -1 is unlimited; null is unset. */
  readonly PidsLimit: number | null;
  readonly BlkioWeight?: number;
  readonly BlkioWeightDevice?: readonly WeightedDevice[];
  readonly BlkioDeviceReadBps?: readonly ThrottledDevice[];
  readonly BlkioDeviceWriteBps?: readonly ThrottledDevice[];
  readonly BlkioDeviceReadIOps?: readonly ThrottledDevice[];
  readonly BlkioDeviceWriteIOps?: readonly ThrottledDevice[];
  readonly Devices?: readonly MappedDevice[];
  /** `c 10:200 rwm` */
  readonly DeviceCgroupRules?: readonly string[] | null;
}

/** Docker's EndpointSettings, as far as a user asks for them. */
export interface NetworkAttachment {
  readonly Aliases?: readonly string[];
  readonly IPv4Address?: string;
  readonly IPv6Address?: string;
  readonly LinkLocalIPs?: readonly string[];
  readonly MacAddress?: string;
  readonly GwPriority?: number;
  readonly DriverOpts?: { readonly [name: string]: string };
  readonly Links?: readonly string[];
}

/** Docker's HostConfig. Sizes are bytes, NanoCpus is 1e9 per CPU, CpuPeriod and CpuQuota are microseconds. */
export interface HostConfig extends ResourceConfig {
  /** `host:destination[:options]` or `volume:destination[:options]`. */
  readonly Binds: readonly string[] | null;
  /** `--mount`. */
  readonly Mounts?: readonly MountRequest[];
  /** `container[:ro|rw]` */
  readonly VolumesFrom?: readonly string[] | null;
  /** Of volumes that are made with the container. */
  readonly VolumeDriver?: string;
  readonly ContainerIDFile: string;
  readonly LogConfig: { readonly Type: string; readonly Config: { readonly [name: string]: string } };
  /** `bridge` (also `default`), `host`, `none`, `container:<id>`. */
  readonly NetworkMode: string;
  /**
   * What was asked for on each network, by its name; NetworkMode is the first. Absent: nothing, on NetworkMode alone.
   * Not Docker's, which has it in NetworkSettings.
   */
  readonly Networks?: { readonly [network: string]: NetworkAttachment };
  /** `<id>:alias` of `--link`. */
  readonly Links?: readonly string[] | null;
  readonly PortBindings: { readonly [port: string]: readonly PortBinding[] };
  readonly PublishAllPorts: boolean;
  readonly RestartPolicy: { readonly Name: string; readonly MaximumRetryCount: number };
  readonly AutoRemove: boolean;
  readonly CapAdd: readonly string[] | null;
  readonly CapDrop: readonly string[] | null;
  readonly Dns: readonly string[];
  readonly DnsOptions: readonly string[];
  readonly DnsSearch: readonly string[];
  readonly ExtraHosts: readonly string[] | null;
  readonly GroupAdd: readonly string[] | null;
  readonly Privileged: boolean;
  readonly ReadonlyRootfs: boolean;
  readonly SecurityOpt: readonly string[] | null;
  /** destination → mount options. */
  readonly Tmpfs?: { readonly [destination: string]: string };
  readonly ShmSize: number;
  readonly Init?: boolean;
  readonly CgroupParent: string;
  /** Who makes its cgroup; absent: this engine itself, below /sys/fs/cgroup. Not Docker's. */
  readonly CgroupDriver?: "systemd";
  /** Absent: private on cgroup v2, the host's on v1. */
  readonly CgroupnsMode?: "host" | "private";
  /** `private` unless given: also `none`, `shareable`, `host`, `container:<id>`. */
  readonly IpcMode?: string;
  /** `host`, `container:<id>`. */
  readonly PidMode?: string;
  readonly UTSMode?: "host";
  /** As `--userns` had it; see userns-mode.ts. */
  readonly UsernsMode?: string;
  /** Its user namespace, as Podman shows it (`inside:outside:size`); absent for the host's. Not Docker's. */
  readonly IDMappings?: { readonly UidMap: readonly string[]; readonly GidMap: readonly string[] };
  readonly Sysctls?: { readonly [name: string]: string };
  readonly OomScoreAdj?: number;
  readonly Annotations?: { readonly [name: string]: string };
  readonly Runtime?: string;
  readonly Ulimits: readonly Ulimit[];
  /** Which secret goes where; never what is in it. Not Docker's, and not shown. */
  readonly Secrets?: readonly SecretMount[];
  /** The default masked and read-only paths apply: not with `systempaths=unconfined` and `--privileged`. Not Docker's. */
  readonly AreSystemPathsHidden: boolean;
}

/** A secret of `--secret`. */
export interface SecretMount {
  readonly Name: string;
  /** Where it is in the container. */
  readonly Target: string;
  readonly UID: number;
  readonly GID: number;
  readonly Mode: number;
  /** The file it came from, to be read again after a boot; absent for one that came from the environment or a pipe. */
  readonly Source?: string;
}

/** Where the content of a container's secrets is, until it is removed. */
export function secretsDirectory(state: string, id: string): string {
  return `${state}/secrets/${id}`;
}

/** `Name` as in getrlimit(2), lower case and without RLIMIT_; -1 is unlimited. */
export interface Ulimit {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}

/** The states, in the words of Docker's JSON. */
export type ContainerState = "created" | "running" | "paused" | "restarting" | "exited" | "removing" | "dead";

/** A published port as it was really bound. */
export interface BoundPort {
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly hostIp: string;
  readonly hostPort: number;
}

/** An endpoint, as netd answered. `network` is the network's name. */
export interface EndpointRecord {
  readonly network: string;
  readonly endpointId: string;
  readonly macAddress: string;
  /** `172.17.0.2/16`. */
  readonly address: string;
  /** Empty on a network without a way out. */
  readonly gateway: string;
  readonly ports: readonly BoundPort[];
  readonly networkId?: string;
  /** `fd00::2/64`. */
  readonly address6?: string;
  readonly gateway6?: string;
  readonly gwPriority?: number;
}

/** What the supervisor wrote. Times are RFC 3339 with nanoseconds, or absent for never. */
export interface RuntimeRecord {
  /** Host pid of the container's PID 1, 0 when there is none. */
  readonly pid: number;
  /** Its start time in clock ticks since boot: with the pid it names the process for good. */
  readonly pidStartTime: number;
  readonly supervisorPid: number;
  readonly supervisorStartTime: number;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly error: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  /** How often its restart policy has started it again since somebody did. */
  readonly restartCount: number;
  /** It was told to end by `stop` or a signal: since its last start by hand. */
  readonly wasStoppedByHand?: boolean;
  /** Of a container with a health check, since it was started. */
  readonly health?: Health;
  readonly endpoint?: EndpointRecord;
  /** On further networks; the first has the published ports. */
  readonly otherEndpoints?: readonly EndpointRecord[];
  readonly mounts: readonly MountPoint[];
}

/** One container. */
export interface ContainerRecord {
  readonly id: string;
  /** Without the slash. */
  readonly name: string;
  /** `sha256:…`. */
  readonly imageId: string;
  /** As the user named it. */
  readonly image: string;
  readonly createdAt: string;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  /** Chain ids of the root file system, lowest first. */
  readonly layers: readonly string[];
  readonly state: ContainerState;
  readonly runtime: RuntimeRecord;
  /** The storage driver of its root file system; absent for overlay. */
  readonly driver?: "vfs" | "btrfs";
}

/** A container that never ran. */
export const NEVER_RAN: RuntimeRecord = {
  pid: 0,
  pidStartTime: 0,
  supervisorPid: 0,
  supervisorStartTime: 0,
  exitCode: 0,
  oomKilled: false,
  error: "",
  restartCount: 0,
  mounts: [],
};
