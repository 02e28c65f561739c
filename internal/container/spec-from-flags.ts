/**
 * The flags of `run` and `create` as Docker's Config and HostConfig: one line or one small function per flag. What a
 * flag's text cannot mean is an OptionError (125, before the engine is asked); what the engine refuses is `invalid`.
 */
import { CtrError } from "../errors/error.ts";
import type { Healthcheck } from "../image/config.ts";
import { checkLabelOption } from "../security/selinux.ts";
import { signalNumber } from "../sys/signals.ts";
import { type MountRequest, parseMountFlag, wantedMount } from "../volume/mount-flag.ts";
import { parseBind, parseTmpfs, type WantedMount } from "../volume/mount-spec.ts";
import { newCgroupPlace } from "./cgroup-place.ts";
import { parseKeyValueFile, type Variables } from "./env.ts";
import { environmentFromFlags, readNamedFile } from "./env-flags.ts";
import { parseLink } from "./links.ts";
import { logConfigFromFlags } from "./log-flags.ts";
import { type NamespaceFlags, readNamespaces } from "./namespace-flags.ts";
import { isUserNetwork, type NetworkFlags, readNetworks } from "./network-flags.ts";
import { OptionError } from "./option-error.ts";
import { isIpAddress, parseExpose, parsePublish } from "./ports.ts";
import type { HostConfig, Ulimit } from "./record.ts";
import { type ResourceFlags, readResources } from "./resource-flags.ts";
import { parseRestartPolicy, type RestartPolicy } from "./restart-policy.ts";
import { parseDuration, parseInteger, parseSize } from "./units.ts";
import { type UserNamespaceRequest, userNamespaceRequest } from "./userns-mode.ts";

/** The flags' values, by their long names. */
export interface ContainerFlags extends NamespaceFlags, NetworkFlags, ResourceFlags {
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
  readonly "health-cmd": string | undefined;
  readonly "health-interval": string | undefined;
  readonly "health-retries": string | undefined;
  readonly "health-start-interval": string | undefined;
  readonly "health-start-period": string | undefined;
  readonly "health-timeout": string | undefined;
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
  readonly "no-healthcheck": boolean;
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
  const tmpfs = flags.tmpfs.map(parseTmpfs);
  const requests = flags.mount.map((text) => mountRequest(text, caller.directory));
  const binds = flags.volume.map((spec) => ofDriver(parseBind(spec, caller.directory), flags["volume-driver"]));
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
    stopTimeout: optional(flags["stop-timeout"], (text) => parseInteger("stop-timeout", text)),
    macAddress: optional(flags["mac-address"], parseMacAddress),
    volumes: binds.filter(isAnonymous).map((mount) => mount.destination),
    healthcheck: healthcheck(flags),
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
    CapAdd: nullIfEmpty(flags["cap-add"]),
    CapDrop: nullIfEmpty(flags["cap-drop"]),
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
    ShmSize: optional(flags["shm-size"], (text) => parseSize("shm-size", text)) ?? DEFAULT_SHM_SIZE,
    ...readResources(flags),
    ...(flags.init ? { Init: true } : {}),
    ...newCgroupPlace(flags["cgroup-parent"], caller.variables),
    ...readNamespaces(flags, mode),
    Ulimits: flags.ulimit.map(parseUlimit),
    AreSystemPathsHidden: !security.areSystemPathsShown && !flags.privileged,
  };
  checkNetworkConflicts(hostConfig, config, flags);
  return { name: flags.name, config, hostConfig, mounts, userNamespace };
}

function optional<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  return text === undefined || text === "" ? undefined : parse(text);
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
    ...flags.label.map((text) => {
      if (text === "" || text.startsWith("="))
        throw new OptionError(`invalid label '${text}': empty name`, "label", text);
      return text;
    }),
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

const HEALTH_FLAGS = [
  "health-cmd",
  "health-interval",
  "health-retries",
  "health-start-interval",
  "health-start-period",
  "health-timeout",
] as const;

function healthcheck(flags: ContainerFlags): Healthcheck | undefined {
  const isGiven = HEALTH_FLAGS.some((name) => flags[name] !== undefined && flags[name] !== "");
  if (flags["no-healthcheck"]) {
    if (isGiven) throw new OptionError("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!isGiven) return undefined;
  const time = (name: (typeof HEALTH_FLAGS)[number]) =>
    optional(flags[name], (text) => {
      const ns = parseDuration(name, text);
      if (ns < 0) throw new OptionError(`--${name} cannot be negative`);
      return ns;
    }) ?? 0;
  const retries = optional(flags["health-retries"], (text) => parseInteger("health-retries", text)) ?? 0;
  if (retries < 0) throw new OptionError("--health-retries cannot be negative");
  const command = flags["health-cmd"] ?? "";
  const fields = {
    Interval: time("health-interval"),
    Timeout: time("health-timeout"),
    StartPeriod: time("health-start-period"),
    StartInterval: time("health-start-interval"),
    Retries: retries,
  };
  return {
    ...(command === "" ? {} : { Test: ["CMD-SHELL", command] }),
    ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== 0)),
  };
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

function parseMacAddress(text: string): string {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text.replaceAll("-", ":"))) {
    throw new OptionError(`${text} is not a valid mac address`);
  }
  const address = text.replaceAll("-", ":").toLowerCase();
  // The lowest bit of the first byte marks a group; a link refuses it (EADDRNOTAVAIL).
  if ((Number.parseInt(address.slice(0, 2), 16) & 1) === 1 || address === "00:00:00:00:00:00") {
    throw new OptionError(`${text} is not a mac address that a link can have`);
  }
  return address;
}

/** Everything the other container decides cannot be given too. */
function checkNetworkConflicts(hostConfig: HostConfig, config: UserConfig, flags: ContainerFlags): void {
  const { NetworkMode } = hostConfig;
  const conflict = (what: string) => new CtrError("invalid", `conflicting options: ${what}`);
  if (NetworkMode === "host" && config.macAddress !== undefined) throw conflict("mac-address and the network mode");
  const hasLinks = flags.link.length > 0;
  if (hasLinks && NetworkMode === "host")
    throw conflict("host type networking can't be used with links. This would result in undefined behavior");
  if (hasLinks && NetworkMode !== "bridge" && !isUserNetwork(NetworkMode))
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

function parseDns(address: string): string {
  if (!isIpAddress(address.trim())) throw new OptionError(`${address} is not an ip address`, "dns", address);
  return address.trim();
}

function parseDnsSearch(domain: string): string {
  const trimmed = domain.trim();
  if (trimmed === ".") return trimmed;
  // RFC 1035 with underscores, as Docker allows them.
  if (trimmed.length > 255 || !/^[\w-]{1,63}(\.[\w-]{1,63})*\.?$/.test(trimmed)) {
    throw new OptionError(`${domain} is not a valid domain`, "dns-search", domain);
  }
  return trimmed;
}

/** `name:address` or `name=address`; an address may be `host-gateway`, and an IPv6 one in brackets. */
function parseExtraHost(text: string): string {
  const [, name, address] = /^([^:=]+)[:=](.+)$/.exec(text) ?? [];
  if (name === undefined || address === undefined || /\s/.test(text)) {
    throw new OptionError(`bad format for add-host: ${JSON.stringify(text)}`, "add-host", text);
  }
  const bare = /^\[(.*)\]$/.exec(address)?.[1] ?? address;
  if (bare !== "host-gateway" && !isIpAddress(bare)) {
    throw new OptionError(`invalid IP address in add-host: ${JSON.stringify(address)}`, "add-host", text);
  }
  return `${name}:${bare}`;
}

/** Groups reach init separated by commas. */
function checkGroup(group: string): string {
  if (group === "" || /[\s,:\0]/.test(group)) {
    throw new CtrError("invalid", `unable to find group ${group}: no matching entries in group file`);
  }
  return group;
}

interface SecurityOptions {
  readonly options: readonly string[];
  readonly areSystemPathsShown: boolean;
}

function securityOptions(given: readonly string[]): SecurityOptions {
  const options: string[] = [];
  let areSystemPathsShown = false;
  for (const text of given) {
    // `no-new-privileges:true` is the older way to write it.
    const option = text.includes("=") ? text : text.replace(":", "=");
    const [key = "", value] = option.split("=", 2);
    if (option === "systempaths=unconfined") areSystemPathsShown = true;
    else if (key === "label" && value !== undefined) options.push(`label=${labelOption(option)}`);
    else if (key === "no-new-privileges" && value !== undefined && TRUE.test(value)) options.push(`${key}=true`);
    else if (isKnown(key, value)) options.push(option);
    else if (value === undefined) throw new OptionError(`invalid --security-opt: ${JSON.stringify(text)}`);
    else if (key === "seccomp") options.push(`seccomp=${readSeccompProfile(option.slice("seccomp=".length))}`);
    else throw new CtrError("invalid", `invalid --security-opt 2: ${JSON.stringify(text)}`);
  }
  return { options, areSystemPathsShown };
}

/** What follows `label=`. */
function labelOption(option: string): string {
  const given = option.slice("label=".length);
  checkLabelOption(given);
  return given;
}

/** The profile in a file as HostConfig keeps it, on one line, every digit as it was. What it says is looked at later. */
function readSeccompProfile(path: string): string {
  const text = new TextDecoder().decode(readNamedFile(path, `opening seccomp profile (${path}) failed`));
  let profile: unknown;
  try {
    profile = JSON.parse(text);
  } catch (error) {
    throw new OptionError(
      `compacting json for seccomp profile (${path}) failed: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (typeof profile !== "object" || profile === null || Array.isArray(profile)) {
    throw new OptionError(`seccomp profile (${path}): not a JSON object`);
  }
  return text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");
}

/** What Go's strconv.ParseBool takes for true. */
const TRUE = /^(1|[tT]|true|True|TRUE)$/;

function isKnown(key: string, value: string | undefined): boolean {
  switch (key) {
    case "no-new-privileges":
      return value === undefined || TRUE.test(value) || /^(0|[fF]|false|False|FALSE)$/.test(value);
    case "seccomp":
      return value === "unconfined" || value === "builtin";
    case "apparmor":
      return value !== undefined && /^[^\s\x00-\x1f\x7f]+$/.test(value);
    default:
      return false;
  }
}

const ULIMITS =
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as".split(" ");

/** `type=soft[:hard]`; -1 is unlimited. */
function parseUlimit(text: string): Ulimit {
  const [, name = "", first, second] = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text) ?? [];
  if (first === undefined) throw new OptionError(`invalid ulimit argument: ${text}`, "ulimit", text);
  if (!ULIMITS.includes(name)) throw new OptionError(`invalid ulimit type: ${name}`, "ulimit", text);
  const soft = Number(first);
  const hard = second === undefined ? soft : Number(second);
  const isTooSoft = hard !== -1 && (soft === -1 || soft > hard);
  if (soft < -1 || hard < -1 || !Number.isSafeInteger(soft) || !Number.isSafeInteger(hard)) {
    throw new OptionError(`invalid ulimit argument: ${text}`, "ulimit", text);
  }
  if (isTooSoft) {
    throw new OptionError(
      `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`,
      "ulimit",
      text,
    );
  }
  return { Name: name, Soft: soft, Hard: hard };
}
