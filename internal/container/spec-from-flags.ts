/**
 * The flags of `run` and `create` as Docker's Config and HostConfig: one line or one small function per flag. What a
 * flag's text cannot mean is an OptionError (125, before the engine is asked); what the engine refuses is `invalid`.
 */
import { CtrError } from "../errors/error.ts";
import type { Healthcheck } from "../image/config.ts";
import { fullNames } from "../security/capabilities.ts";
import { signalNumber } from "../sys/signals.ts";
import { type MountRequest, parseMountFlag, wantedMount } from "../volume/mount-flag.ts";
import { parseBind, parseTmpfs, type WantedMount } from "../volume/mount-spec.ts";
import { parseDns, parseDnsSearch, parseExtraHost, parseMacAddress } from "./address-flags.ts";
import { newCgroupPlace } from "./cgroup-place.ts";
import { parseKeyValueFile, type Variables } from "./env.ts";
import { environmentFromFlags, readNamedFile } from "./env-flags.ts";
import { type HealthFlags, healthcheckFromFlags } from "./health-flags.ts";
import { checkLabel } from "./label-flag.ts";
import { parseLink } from "./links.ts";
import { logConfigFromFlags } from "./log-flags.ts";
import { type NamespaceFlags, readNamespaces } from "./namespace-flags.ts";
import { type NetworkFlags, readNetworks } from "./network-flags.ts";
import { OptionError } from "./option-error.ts";
import { parseExpose, parsePublish } from "./ports.ts";
import type { HostConfig } from "./record.ts";
import { type ResourceFlags, readResources } from "./resource-flags.ts";
import { parseRestartPolicy, type RestartPolicy } from "./restart-policy.ts";
import { securityOptions } from "./security-options.ts";
import { ulimitsFromFlags } from "./ulimit-flag.ts";
import { ifGiven, parseInteger, parseSize } from "./units.ts";
import { type UserNamespaceRequest, userNamespaceRequest } from "./userns-mode.ts";

/** The flags' values, by their long names. */
export interface ContainerFlags extends HealthFlags, NamespaceFlags, NetworkFlags, ResourceFlags {
  readonly "add-host": readonly string[];
  readonly attach: readonly string[];
  readonly "cap-add": readonly string[];
  readonly "cap-drop": readonly string[];
  readonly "cgroup-parent": string | undefined;
  readonly cidfile: string | undefined;
  readonly dns: readonly string[];
  readonly "dns-option": readonly string[];
  readonly "dns-search": readonly string[];
  readonly domainname: string | undefined;
  readonly entrypoint: string | undefined;
  readonly env: readonly string[];
  readonly "env-file": readonly string[];
  readonly expose: readonly string[];
  readonly "group-add": readonly string[];
  readonly hostname: string | undefined;
  readonly init: boolean;
  readonly interactive: boolean;
  readonly label: readonly string[];
  readonly "label-file": readonly string[];
  readonly "log-driver": string | undefined;
  readonly "log-opt": readonly string[];
  readonly "mac-address": string | undefined;
  readonly mount: readonly string[];
  readonly name: string | undefined;
  readonly privileged: boolean;
  readonly publish: readonly string[];
  readonly "publish-all": boolean;
  readonly "read-only": boolean;
  readonly restart: string | undefined;
  readonly rm: boolean;
  readonly "security-opt": readonly string[];
  readonly "shm-size": string | undefined;
  readonly "stop-signal": string | undefined;
  readonly "stop-timeout": string | undefined;
  readonly tmpfs: readonly string[];
  readonly tty: boolean;
  readonly ulimit: readonly string[];
  readonly user: string | undefined;
  readonly userns: string | undefined;
  readonly volume: readonly string[];
  readonly "volume-driver": string | undefined;
  readonly "volumes-from": readonly string[];
  readonly workdir: string | undefined;
}

/** What the flags do not say: who calls, and from where. */
export interface Caller {
  readonly variables: Variables;
  /** For relative host paths. */
  readonly directory: string;
  readonly isDetached: boolean;
}

/** What a user gave for the container's Config; undefined means the image's. */
export interface UserConfig {
  readonly hostname: string | undefined;
  readonly domainname: string;
  readonly user: string | undefined;
  readonly streams: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean };
  readonly isTty: boolean;
  readonly isStdinOpen: boolean;
  readonly env: readonly string[];
  readonly labels: { readonly [name: string]: string };
  /** One empty string clears the image's. */
  readonly entrypoint: readonly string[] | undefined;
  readonly workingDirectory: string | undefined;
  readonly exposedPorts: readonly string[];
  readonly stopSignal: string | undefined;
  readonly stopTimeout: number | undefined;
  readonly macAddress: string | undefined;
  /** Destinations of volumes without a name. */
  readonly volumes?: readonly string[];
  /** The fields that were given; `NONE` switches the image's off. */
  readonly healthcheck?: Healthcheck | undefined;
}

/** The flags, read. */
export interface FlagSpec {
  readonly name: string | undefined;
  readonly config: UserConfig;
  readonly hostConfig: HostConfig;
  readonly mounts: readonly WantedMount[];
  readonly userNamespace: UserNamespaceRequest;
}

const DEFAULT_SHM_SIZE = 64 << 20;

/** Reads the flags. Throws OptionError, or `invalid` for what the engine refuses; does nothing else. */
export function specFromFlags(flags: ContainerFlags, caller: Caller): FlagSpec {
  const publish = parsePublish(flags.publish);
  const security = securityOptions(flags["security-opt"]);
  // The last of a destination counts.
  const tmpfs = [...new Map(flags.tmpfs.map(parseTmpfs).map((mount) => [mount.destination, mount])).values()];
  const requests = flags.mount.map((text) => mountRequest(text, caller.directory));
  const binds = [...new Set(flags.volume)].map((spec) =>
    ofDriver(parseBind(spec, caller.directory), flags["volume-driver"]),
  );
  const mounts = [...binds, ...requests.map(wantedMount)];
  // One that nobody named gives way to any other, as an image's does.
  checkDestinations([...mounts.filter((mount) => !isAnonymous(mount)), ...tmpfs].map((mount) => mount.destination));
  const userNamespace = userNamespaceRequest(flags.userns, caller.variables);
  const config: UserConfig = {
    hostname: checkHostname(flags.hostname),
    domainname: flags.domainname ?? "",
    user: flags.user || (userNamespace.kind === "maps" ? userNamespace.user : undefined),
    streams: attachedStreams(flags, caller.isDetached),
    isTty: flags.tty,
    isStdinOpen: flags.interactive,
    env: environmentFromFlags(flags, caller.variables),
    labels: labels(flags),
    entrypoint: flags.entrypoint === undefined ? undefined : [flags.entrypoint],
    workingDirectory: checkWorkingDirectory(flags.workdir),
    exposedPorts: [...new Set([...Object.keys(publish), ...parseExpose(flags.expose)])],
    stopSignal: checkSignal(flags["stop-signal"]),
    stopTimeout: ifGiven(flags["stop-timeout"], (text) => parseInteger("stop-timeout", text)),
    macAddress: ifGiven(flags["mac-address"] || undefined, parseMacAddress),
    volumes: binds.filter(isAnonymous).map((mount) => mount.destination),
    healthcheck: healthcheckFromFlags(flags),
  };
  const { mode, networks } = readNetworks(flags);
  for (const link of flags.link) parseLink(link);
  const hostConfig: HostConfig = {
    Binds: flags.volume.length === 0 ? null : bindTexts(binds),
    ...(requests.length === 0 ? {} : { Mounts: requests }),
    VolumesFrom: nullIfEmpty(flags["volumes-from"]),
    ...(flags["volume-driver"] === undefined ? {} : { VolumeDriver: flags["volume-driver"] }),
    ContainerIDFile: flags.cidfile ?? "",
    LogConfig: logConfigFromFlags(flags, caller.variables),
    NetworkMode: mode,
    ...(networks === undefined ? {} : { Networks: networks }),
    ...(flags.link.length === 0 ? {} : { Links: flags.link }),
    PortBindings: publish,
    PublishAllPorts: flags["publish-all"],
    RestartPolicy: restartPolicy(flags),
    AutoRemove: flags.rm,
    CapAdd: nullIfEmpty(fullNames(flags["cap-add"])),
    CapDrop: nullIfEmpty(fullNames(flags["cap-drop"])),
    Dns: flags.dns.map(parseDns),
    DnsOptions: flags["dns-option"],
    DnsSearch: flags["dns-search"].map(parseDnsSearch),
    ExtraHosts: nullIfEmpty(flags["add-host"].map(parseExtraHost)),
    GroupAdd: nullIfEmpty(flags["group-add"].map(checkGroup)),
    Privileged: flags.privileged,
    ReadonlyRootfs: flags["read-only"],
    SecurityOpt: nullIfEmpty(security.options),
    ...(tmpfs.length === 0
      ? {}
      : { Tmpfs: Object.fromEntries(tmpfs.map((mount) => [mount.destination, mount.options])) }),
    ShmSize: ifGiven(flags["shm-size"], (text) => parseSize("shm-size", text)) || DEFAULT_SHM_SIZE,
    ...readResources(flags),
    ...(flags.init ? { Init: true } : {}),
    ...newCgroupPlace(flags["cgroup-parent"], caller.variables),
    ...readNamespaces(flags, mode),
    Ulimits: ulimitsFromFlags(flags.ulimit),
    AreSystemPathsHidden: !security.areSystemPathsShown && !flags.privileged,
  };
  checkNetworkConflicts(hostConfig, config, flags);
  return { name: flags.name || undefined, config, hostConfig, mounts, userNamespace };
}

function nullIfEmpty(list: readonly string[]): readonly string[] | null {
  return list.length === 0 ? null : list;
}

/** The request of one `--mount`; what its text cannot mean is the flag's error. */
function mountRequest(text: string, directory: string): MountRequest {
  try {
    return parseMountFlag(text, directory);
  } catch (error) {
    if (!(error instanceof CtrError)) throw error;
    throw new OptionError(error.message, "mount", text);
  }
}

/** `--volume-driver` is for the volumes that `-v` makes. */
function ofDriver(mount: WantedMount, driver: string | undefined): WantedMount {
  if (driver === undefined || driver === "" || mount.type !== "volume") return mount;
  return mount.name === undefined ? mount : { ...mount, volume: { driver, options: {}, labels: {} } };
}

/** True for a volume mount that is neither named nor `--mount`'s: it is in Config.Volumes, as an image's are. */
export function isAnonymous(mount: WantedMount): boolean {
  return mount.type === "volume" && mount.name === undefined && mount.volume === undefined;
}

/** `-v` as HostConfig shows it: with absolute paths, without the anonymous ones. */
function bindTexts(mounts: readonly WantedMount[]): readonly string[] | null {
  const texts = mounts.flatMap((mount) => {
    const source = mount.source ?? mount.name;
    if (source === undefined) return [];
    return [`${source}:${mount.destination}${mount.mode === "" ? "" : `:${mount.mode}`}`];
  });
  return nullIfEmpty(texts);
}

function checkDestinations(destinations: readonly string[]): void {
  const seen = new Set<string>();
  for (const destination of destinations) {
    if (seen.has(destination)) throw new CtrError("invalid", `Duplicate mount point: ${destination}`);
    seen.add(destination);
  }
}

const STREAMS = ["stdin", "stdout", "stderr"];

function attachedStreams(flags: ContainerFlags, isDetached: boolean): UserConfig["streams"] {
  const asked = flags.attach.map((word) => word.toLowerCase());
  const wrong = asked.find((word) => !STREAMS.includes(word));
  if (wrong !== undefined) {
    throw new OptionError("valid streams are STDIN, STDOUT and STDERR", "attach", wrong);
  }
  if (isDetached) {
    if (asked.length > 0) {
      throw new CtrError("invalid", "conflicting options: cannot specify both --attach and --detach", {
        exitStatus: 1,
      });
    }
    return { stdin: false, stdout: false, stderr: false };
  }
  if (asked.length === 0) return { stdin: flags.interactive, stdout: true, stderr: true };
  const has = (stream: string) => asked.includes(stream);
  return { stdin: has("stdin"), stdout: has("stdout"), stderr: has("stderr") };
}

function labels(flags: ContainerFlags): { readonly [name: string]: string } {
  const entries = [
    ...flags["label-file"].flatMap((path) => parseKeyValueFile(path, readNamedFile(path), () => undefined)),
    ...flags.label.map(checkLabel),
  ];
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf("=");
      return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

function restartPolicy(flags: ContainerFlags): RestartPolicy {
  const policy = parseRestartPolicy(flags.restart ?? "no");
  if (flags.rm && policy.Name !== "no") {
    throw new OptionError("conflicting options: cannot specify both --restart and --rm");
  }
  return policy;
}

// HOST_NAME_MAX of the kernel, gethostname(2)
const MAX_HOSTNAME = 64;

function checkHostname(hostname: string | undefined): string | undefined {
  if (hostname === undefined || hostname === "") return undefined;
  if (hostname.length > MAX_HOSTNAME || /[\s/\0]/.test(hostname)) {
    throw new OptionError(`invalid hostname: ${hostname}`);
  }
  return hostname;
}

function checkWorkingDirectory(path: string | undefined): string | undefined {
  if (path === undefined || path === "") return undefined;
  if (!path.startsWith("/")) {
    throw new CtrError("invalid", `the working directory '${path}' is invalid, it needs to be an absolute path`);
  }
  return path;
}

function checkSignal(signal: string | undefined): string | undefined {
  if (signal === undefined || signal === "") return undefined;
  if (signalNumber(signal) === undefined) throw new CtrError("invalid", `invalid signal: ${signal}`);
  return signal;
}

/** Everything the other container decides cannot be given too. */
function checkNetworkConflicts(hostConfig: HostConfig, config: UserConfig, flags: ContainerFlags): void {
  const { NetworkMode } = hostConfig;
  const conflict = (what: string) => new CtrError("invalid", `conflicting options: ${what}`);
  if (NetworkMode === "host" && config.macAddress !== undefined) throw conflict("mac-address and the network mode");
  const hasLinks = flags.link.length > 0;
  if (hasLinks && NetworkMode === "host")
    throw conflict("host type networking can't be used with links. This would result in undefined behavior");
  if (hasLinks && NetworkMode.startsWith("container:"))
    throw conflict("container type network can't be used with links. This would result in undefined behavior");
  if (!NetworkMode.startsWith("container:")) return;
  if (config.hostname !== undefined) throw conflict("hostname and the network mode");
  if (hostConfig.Dns.length > 0) throw conflict("dns and the network mode");
  if (hostConfig.ExtraHosts !== null) throw conflict("custom host-to-IP mapping and the network mode");
  if (config.macAddress !== undefined) throw conflict("mac-address and the network mode");
  if (flags.publish.length > 0 || flags["publish-all"]) {
    throw conflict("port publishing and the container type network mode");
  }
  if (flags.expose.length > 0) throw conflict("port exposing and the container type network mode");
}

/** Groups reach init separated by commas. */
function checkGroup(group: string): string {
  if (group === "" || /[\s,:\0]/.test(group)) {
    throw new CtrError("invalid", `unable to find group ${group}: no matching entries in group file`);
  }
  return group;
}
