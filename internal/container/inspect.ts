/** A container as `docker inspect` shows it (Engine API, ContainerInspect): Docker's names, nulls and never-times. */
import { cgroupLayout } from "../cgroups/layout.ts";
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { readNetworkIds } from "../network/store.ts";
import { MASKED_PATHS, READONLY_PATHS } from "../security/paths.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { writableSnapshot } from "../snapshot/writable.ts";
import { commandOf } from "./command.ts";
import { networkName } from "./filter.ts";
import { apparmorProfile, containerLabels } from "./labels.ts";
import { linkNames } from "./links.ts";
import { jsonLogPath } from "./log/record.ts";
import { isUserNetwork } from "./network-flags.ts";
import { endpointsOf, networkNames } from "./networks.ts";
import { portsOf } from "./port-list.ts";
import type { ContainerRecord, EndpointRecord, HostConfig } from "./record.ts";
import { hasOwnCgroupNamespace } from "./resources.ts";

/** What Docker shows for a time that never was. */
const NEVER = "0001-01-01T00:00:00Z";

/** The object of one container; `execIds` are the programs of `exec` that run in it. */
export function inspectContainer(
  engine: Engine,
  record: ContainerRecord,
  execIds: readonly string[] | null,
): { readonly [field: string]: unknown } {
  const { config, hostConfig, runtime, id } = record;
  const [path = "", ...args] = commandOf(config);
  const directory = `${engine.root}/containers/${id}`;
  return {
    Id: id,
    Created: record.createdAt,
    Path: path,
    Args: args,
    State: stateOf(record),
    Image: record.imageId,
    ResolvConfPath: `${directory}/resolv.conf`,
    HostnamePath: `${directory}/hostname`,
    HostsPath: `${directory}/hosts`,
    LogPath: record.hostConfig.LogConfig.Type === "json-file" ? jsonLogPath(engine.root, id) : "",
    Name: `/${record.name}`,
    RestartCount: runtime.restartCount,
    Driver: record.driver ?? "overlay2",
    Platform: "linux",
    ...securityLabels(record),
    ExecIDs: execIds,
    HostConfig: hostConfigOf(hostConfig, engine, record),
    GraphDriver: graphDriver(engine, record),
    Mounts: runtime.mounts.map((mount) => ({
      Type: mount.Type,
      ...(mount.Name === undefined ? {} : { Name: mount.Name }),
      Source: mount.Source,
      Destination: mount.Destination,
      ...(mount.Type === "volume" ? { Driver: "local" } : {}),
      Mode: mount.Mode,
      RW: mount.RW,
      Propagation: mount.Propagation,
    })),
    Config: {
      Hostname: config.Hostname,
      Domainname: config.Domainname,
      User: config.User,
      AttachStdin: config.AttachStdin,
      AttachStdout: config.AttachStdout,
      AttachStderr: config.AttachStderr,
      ...(config.ExposedPorts === undefined ? {} : { ExposedPorts: config.ExposedPorts }),
      Tty: config.Tty,
      OpenStdin: config.OpenStdin,
      StdinOnce: config.StdinOnce,
      Env: config.Env.length === 0 ? null : config.Env,
      Cmd: config.Cmd,
      ...(config.Healthcheck === undefined ? {} : { Healthcheck: config.Healthcheck }),
      Image: config.Image,
      Volumes: config.Volumes,
      WorkingDir: config.WorkingDir,
      Entrypoint: config.Entrypoint,
      OnBuild: null,
      Labels: config.Labels,
      ...(config.StopSignal === undefined ? {} : { StopSignal: config.StopSignal }),
      ...(config.StopTimeout === undefined ? {} : { StopTimeout: config.StopTimeout }),
      ...(config.Shell === undefined ? {} : { Shell: config.Shell }),
    },
    NetworkSettings: networkSettings(engine, record),
  };
}

/** As a start would have them now; a host that cannot give what was asked for gives none. */
function securityLabels(record: ContainerRecord): object {
  try {
    const labels = containerLabels(record);
    const AppArmorProfile = apparmorProfile(record.hostConfig) ?? "";
    return { MountLabel: labels?.file ?? "", ProcessLabel: labels?.process ?? "", AppArmorProfile };
  } catch (error) {
    if (!(error instanceof CtrError) || error.kind !== "unsupported") throw error;
    return { MountLabel: "", ProcessLabel: "", AppArmorProfile: "" };
  }
}

function stateOf({ state, runtime }: ContainerRecord): object {
  const isRunning = state === "running" || state === "paused" || state === "restarting";
  return {
    Status: state,
    Running: isRunning,
    Paused: state === "paused",
    Restarting: state === "restarting",
    OOMKilled: runtime.oomKilled,
    Dead: state === "dead",
    Pid: isRunning ? runtime.pid : 0,
    ExitCode: state === "running" || state === "paused" ? 0 : runtime.exitCode,
    Error: runtime.error,
    StartedAt: runtime.startedAt ?? NEVER,
    FinishedAt: runtime.finishedAt ?? NEVER,
    ...(runtime.health === undefined ? {} : { Health: runtime.health }),
  };
}

/** Docker shows null for a privileged container, and an empty list with `systempaths=unconfined`. */
function systemPaths(config: HostConfig, paths: readonly string[]): readonly string[] | null {
  if (config.Privileged) return null;
  return config.AreSystemPathsHidden ? paths : [];
}

/** What is recorded, between Docker's fields for what this engine has no flag for. */
function hostConfigOf(config: HostConfig, engine: Engine, record: ContainerRecord): object {
  return {
    Binds: config.Binds,
    ContainerIDFile: config.ContainerIDFile,
    LogConfig: config.LogConfig,
    NetworkMode: config.NetworkMode,
    PortBindings: config.PortBindings,
    RestartPolicy: config.RestartPolicy,
    AutoRemove: config.AutoRemove,
    VolumeDriver: config.VolumeDriver ?? "",
    VolumesFrom: config.VolumesFrom ?? null,
    ConsoleSize: [0, 0],
    CapAdd: config.CapAdd,
    CapDrop: config.CapDrop,
    CgroupnsMode: hasOwnCgroupNamespace(config) ? "private" : "host",
    Dns: config.Dns,
    DnsOptions: config.DnsOptions,
    DnsSearch: config.DnsSearch,
    ExtraHosts: config.ExtraHosts,
    GroupAdd: config.GroupAdd,
    IpcMode: config.IpcMode ?? "private",
    Cgroup: "",
    Links: linkNames(engine, record),
    OomScoreAdj: config.OomScoreAdj ?? 0,
    PidMode: config.PidMode ?? "",
    Privileged: config.Privileged,
    PublishAllPorts: config.PublishAllPorts,
    ReadonlyRootfs: config.ReadonlyRootfs,
    SecurityOpt: config.SecurityOpt,
    ...(config.Mounts === undefined ? {} : { Mounts: config.Mounts }),
    ...(config.Tmpfs === undefined ? {} : { Tmpfs: config.Tmpfs }),
    UTSMode: config.UTSMode ?? "",
    UsernsMode: config.UsernsMode ?? "",
    ...(config.IDMappings === undefined ? {} : { IDMappings: config.IDMappings }),
    ...(config.Sysctls === undefined ? {} : { Sysctls: config.Sysctls }),
    ...(config.Annotations === undefined ? {} : { Annotations: config.Annotations }),
    ShmSize: config.ShmSize,
    Runtime: "ctr",
    Isolation: "",
    CpuShares: config.CpuShares,
    Memory: config.Memory,
    NanoCpus: config.NanoCpus,
    CgroupParent: config.CgroupParent,
    BlkioWeight: config.BlkioWeight ?? 0,
    BlkioWeightDevice: config.BlkioWeightDevice ?? [],
    BlkioDeviceReadBps: config.BlkioDeviceReadBps ?? [],
    BlkioDeviceWriteBps: config.BlkioDeviceWriteBps ?? [],
    BlkioDeviceReadIOps: config.BlkioDeviceReadIOps ?? [],
    BlkioDeviceWriteIOps: config.BlkioDeviceWriteIOps ?? [],
    CpuPeriod: config.CpuPeriod,
    CpuQuota: config.CpuQuota,
    CpuRealtimePeriod: config.CpuRealtimePeriod ?? 0,
    CpuRealtimeRuntime: config.CpuRealtimeRuntime ?? 0,
    CpusetCpus: config.CpusetCpus,
    CpusetMems: config.CpusetMems,
    Devices: config.Devices ?? [],
    DeviceCgroupRules: config.DeviceCgroupRules ?? null,
    DeviceRequests: null,
    MemoryReservation: config.MemoryReservation,
    MemorySwap: config.MemorySwap,
    MemorySwappiness: config.MemorySwappiness ?? null,
    // Unset it is Docker's default where the kernel has the switch.
    OomKillDisable: config.OomKillDisable ?? (cgroupLayout().mode === "v2" ? null : false),
    PidsLimit: config.PidsLimit,
    Ulimits: config.Ulimits,
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    MaskedPaths: systemPaths(config, MASKED_PATHS),
    ReadonlyPaths: systemPaths(config, READONLY_PATHS),
    ...(config.Init === undefined ? {} : { Init: config.Init }),
  };
}

/** Nothing is mounted on the host: `MergedDir` is where Docker would have it. */
function graphDriver(engine: Engine, record: ContainerRecord): object {
  if (record.driver !== undefined) return { Data: null, Name: record.driver };
  const { upper, work } = writableSnapshot(engine.root, record.id);
  return {
    Data: {
      ID: record.id,
      LowerDir: lowerDirectories(engine, record.layers).join(":"),
      MergedDir: `${engine.root}/containers/${record.id}/merged`,
      UpperDir: upper,
      WorkDir: work,
    },
    Name: "overlay2",
  };
}

function networkSettings(engine: Engine, record: ContainerRecord): object {
  const { endpoint, pid } = record.runtime;
  const mode = record.hostConfig.NetworkMode;
  const isShared = mode.startsWith("container:");
  const attached = endpointsOf(record);
  const onDefault = attached.find(({ network }) => network === "bridge");
  const names = isShared ? [] : networkNames(record).map(networkName);
  const idOf = networkIds(engine, record);
  return {
    Bridge: "",
    SandboxID: endpoint?.endpointId ?? "",
    SandboxKey: pid > 0 && endpoint !== undefined ? `/proc/${pid}/ns/net` : "",
    Ports: portsOf(record),
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    // Of the default bridge: API below 1.52.
    ...addressFields(onDefault),
    Networks: Object.fromEntries(
      names.map((name) => [
        name,
        networkFields(
          record,
          name,
          idOf(name),
          attached.find(({ network }) => network === name),
        ),
      ]),
    ),
  };
}

/** By name; as with Docker those of a container that was never started are not known yet. */
function networkIds(engine: Engine, { runtime }: ContainerRecord): (name: string) => string {
  let known: ReadonlyMap<string, string> | undefined;
  return (name) => {
    const attached = endpointsOf({ runtime }).find(({ network }) => network === name);
    if (attached?.networkId !== undefined) return attached.networkId;
    if (runtime.startedAt === undefined) return "";
    known ??= readNetworkIds(engine.root);
    return known.get(name) ?? "";
  };
}

function addressFields(endpoint: EndpointRecord | undefined): object {
  const [address = "", prefix = "0"] = endpoint?.address.split("/") ?? [];
  const [address6 = "", prefix6 = "0"] = endpoint?.address6?.split("/") ?? [];
  return {
    Gateway: endpoint?.gateway ?? "",
    IPAddress: address,
    IPPrefixLen: Number(prefix),
    IPv6Gateway: endpoint?.gateway6 ?? "",
    GlobalIPv6Address: address6,
    GlobalIPv6PrefixLen: Number(prefix6),
    MacAddress: endpoint?.macAddress ?? "",
    EndpointID: endpoint?.endpointId ?? "",
  };
}

function networkFields(
  record: ContainerRecord,
  name: string,
  networkId: string,
  endpoint: EndpointRecord | undefined,
): object {
  const { Networks, Links } = record.hostConfig;
  const { Aliases, IPv4Address, IPv6Address, LinkLocalIPs, DriverOpts, GwPriority } = Networks?.[name] ?? {};
  const hasAddress = IPv4Address !== undefined || IPv6Address !== undefined || LinkLocalIPs !== undefined;
  const names = [record.name, ...(Aliases ?? []), record.id.slice(0, 12), record.config.Hostname];
  return {
    IPAMConfig: hasAddress
      ? {
          ...(IPv4Address === undefined ? {} : { IPv4Address }),
          ...(IPv6Address === undefined ? {} : { IPv6Address }),
          ...(LinkLocalIPs === undefined ? {} : { LinkLocalIPs }),
        }
      : null,
    Links: isUserNetwork(name) && Links !== undefined ? Links : null,
    Aliases: Aliases ?? null,
    DriverOpts: DriverOpts ?? null,
    GwPriority: GwPriority ?? 0,
    NetworkID: networkId,
    ...addressFields(endpoint),
    DNSNames: isUserNetwork(name) ? [...new Set(names)] : null,
  };
}
