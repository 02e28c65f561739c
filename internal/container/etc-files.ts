/**
 * `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container: files of the engine in `<root>/containers/<id>`,
 * bound over the image's. The texts are pure functions; the writers keep a file's inode, because it may be mounted.
 */
import { CtrError } from "../errors/error.ts";
import { O_CREAT, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY, open, read, writeAll } from "../sys/fd.ts";
import { fchmod, readText } from "../sys/file.ts";
import { isUserNetwork } from "./network-flags.ts";
import { networksOf } from "./networks.ts";
import { isIpv6 } from "./ports.ts";
import type { ContainerRecord } from "./record.ts";

/** Where the three files are. */
export interface EtcPaths {
  readonly hosts: string;
  readonly hostname: string;
  readonly resolvConf: string;
}

export function etcPaths(root: string, id: string): EtcPaths {
  const directory = `${root}/containers/${id}`;
  return {
    hosts: `${directory}/hosts`,
    hostname: `${directory}/hostname`,
    resolvConf: `${directory}/resolv.conf`,
  };
}

export interface HostsChoices {
  readonly hostname: string;
  readonly domainname: string;
  /** `name:address` of `--add-host`; an address may be `host-gateway`. */
  readonly extraHosts: readonly string[];
  /** The container's own, when it has any. */
  readonly addresses?: readonly string[] | undefined;
  /** `address names` of `--link`. */
  readonly links?: readonly string[] | undefined;
  /** What `host-gateway` means. */
  readonly gateway?: string | undefined;
}

const LOCAL_LINES = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];
/** The default bridge's own address: for a container that is on no network. */
const DEFAULT_GATEWAY = "172.17.0.1";

/** The text of /etc/hosts. */
export function hostsText(choices: HostsChoices): string {
  const { addresses = [], links = [] } = choices;
  const own = addresses.map((address) => `${address}\t${ownNames(choices)}`);
  const lines = [...LOCAL_LINES, ...extraLines(choices), ...links, ...own];
  return `${lines.join("\n")}\n`;
}

function extraLines({ extraHosts, gateway = DEFAULT_GATEWAY }: Pick<HostsChoices, "extraHosts" | "gateway">): string[] {
  return extraHosts.map((entry) => {
    const colon = entry.indexOf(":");
    const address = entry.slice(colon + 1);
    return `${address === "host-gateway" ? gateway : address}\t${entry.slice(0, colon)}`;
  });
}

/** `foo.example.com foo`, or `web` alone. */
function ownNames({ hostname, domainname }: Pick<HostsChoices, "hostname" | "domainname">): string {
  const full = domainname === "" ? hostname : `${hostname}.${domainname}`;
  const [short = full] = full.split(".");
  return short === full ? full : `${full} ${short}`;
}

export interface ResolvChoices {
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

const PUBLIC_SERVERS = ["8.8.8.8", "8.8.4.4"];

/**
 * The text of /etc/resolv.conf: the host's lines, of which each kind given in `choices` is replaced. Servers that a
 * container cannot reach (loopback, and IPv6 where it has none) are left out; public ones take their place if none
 * remain.
 */
export function resolvConfText(host: string, choices: ResolvChoices): string {
  const lines = host.split("\n").filter((line) => line.trim() !== "");
  const kept = (word: string) => lines.filter((line) => line.trim().split(/\s+/)[0] === word);
  const known = ["nameserver", "search", "domain", "options"];
  const others = lines.filter((line) => !/^\s*[#;]/.test(line) && !known.includes(line.trim().split(/\s+/)[0] ?? ""));
  const reachable = kept("nameserver").filter((line) => isReachable(line.trim().split(/\s+/)[1] ?? ""));
  const servers =
    choices.servers.length > 0
      ? choices.servers
      : reachable.length > 0
        ? reachable.map((line) => line.trim().split(/\s+/)[1] ?? "")
        : PUBLIC_SERVERS;
  const search = choices.search.filter((domain) => domain !== ".");
  const searchLines =
    choices.search.length === 0
      ? [...kept("domain"), ...kept("search")]
      : search.length === 0
        ? []
        : [`search ${search.join(" ")}`];
  const optionLines = choices.options.length === 0 ? kept("options") : [`options ${choices.options.join(" ")}`];
  const all = [...searchLines, ...servers.map((server) => `nameserver ${server}`), ...optionLines, ...others];
  return `${all.join("\n")}\n`;
}

/** On the bridge: not through the host's loopback, and not by IPv6, which the bridge does not carry. */
function isReachable(server: string): boolean {
  return server !== "" && !server.startsWith("127.") && !isIpv6(server.replace(/%.*$/, ""));
}

/** Where the name server of containers listens in each of them. */
const CONTAINER_DNS = "127.0.0.11";

/**
 * The text of /etc/resolv.conf on networks with names: their name server alone, which asks the servers of `choices` or of
 * the host itself. Names without a dot are names too (`ndots:0`).
 */
export function namedResolvConfText(host: string, choices: Pick<ResolvChoices, "search" | "options">): string {
  const { search, options } = choices;
  const text = resolvConfText(host, { servers: [CONTAINER_DNS], search, options });
  if (/^options\b.*\bndots:/m.test(text)) return text;
  return /^options\b/m.test(text) ? text.replace(/^options\b.*$/m, "$& ndots:0") : `${text}options ndots:0\n`;
}

/** Writes the three files as far as they are known before the network is: hosts has no address yet. */
export function writeEtcFiles(root: string, record: ContainerRecord, hostname: string): void {
  const paths = etcPaths(root, record.id);
  writeInPlace(paths.hostname, `${hostname}\n`);
  writeHostsFile(root, record);
  writeInPlace(paths.resolvConf, ownResolvConf(record, networksOf(record).some(isUserNetwork)));
}

function ownResolvConf({ hostConfig }: ContainerRecord, hasNames: boolean): string {
  const isHost = hostConfig.NetworkMode === "host";
  const { Dns: servers, DnsSearch: search, DnsOptions: options } = hostConfig;
  const isPlain = servers.length + search.length + options.length === 0;
  const host = hostResolvConf(isHost);
  if (hasNames) return namedResolvConfText(host, { search, options });
  return isHost && isPlain ? host : resolvConfText(host, { servers, search, options });
}

/**
 * The networks of a container that runs have changed, and with them whether it has names. Its resolv.conf follows, unless
 * somebody in the container has made it their own.
 */
export function followNetworks(root: string, before: ContainerRecord, after: ContainerRecord): void {
  const [had, has] = [before, after].map((record) => networksOf(record).some(isUserNetwork));
  if (had === has || had === undefined || has === undefined) return;
  const path = etcPaths(root, after.id).resolvConf;
  const expected = ownResolvConf(before, had);
  // It is the container's to write, of any length.
  using file = open(path, O_RDONLY | O_NOFOLLOW);
  const start = new Uint8Array(Buffer.byteLength(expected) + 1);
  const length = read(file.number, start);
  if (new TextDecoder().decode(start.subarray(0, length)) === expected) writeInPlace(path, ownResolvConf(after, has));
}

/** What is known once the container is on its networks. */
export type HostsKnown = Pick<HostsChoices, "addresses" | "gateway" | "links">;

/** Writes /etc/hosts, with the container's own lines once its addresses are known. */
export function writeHostsFile(root: string, record: ContainerRecord, known: HostsKnown = {}): void {
  const { config, hostConfig } = record;
  const { gateway } = known;
  const extraHosts = hostConfig.ExtraHosts ?? [];
  const text =
    hostConfig.NetworkMode === "host"
      ? withNewline(readHostFile("/etc/hosts")) +
        extraLines({ extraHosts, gateway })
          .map((line) => `${line}\n`)
          .join("")
      : hostsText({ hostname: config.Hostname, domainname: config.Domainname, extraHosts, ...known });
  writeInPlace(etcPaths(root, record.id).hosts, text);
}

function withNewline(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}

const RESOLVED_STUB = "127.0.0.53";

/** The host's file; behind systemd-resolved's stub, which only the host can reach, the file with the real servers. */
function hostResolvConf(isHost: boolean): string {
  const text = readHostFile("/etc/resolv.conf");
  if (isHost) return text;
  const servers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server]) => server);
  return servers.length === 1 && servers[0] === RESOLVED_STUB ? readHostFile("/run/systemd/resolve/resolv.conf") : text;
}

function readHostFile(path: string): string {
  try {
    return readText(path);
  } catch (error) {
    // A host without the file: the container gets what it would get from an empty one.
    if (error instanceof CtrError && error.kind === "not-found") return "";
    throw error;
  }
}

/** Never by a rename: a running container has the file mounted. */
function writeInPlace(path: string, text: string): void {
  using fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644);
  fchmod(fd.number, 0o644);
  writeAll(fd.number, new TextEncoder().encode(text));
}

/** Own lines of further addresses in the hosts file of a container that runs; the rest of it is the container's by now. */
export function addHostsLines(root: string, { id, config }: ContainerRecord, addresses: readonly string[]): void {
  const choices = { hostname: config.Hostname, domainname: config.Domainname };
  const path = etcPaths(root, id).hosts;
  const lines = addresses.map((address) => `${address}\t${ownNames(choices)}\n`);
  const text = ownHosts(path);
  if (text !== undefined) writeInPlace(path, withNewline(text) + lines.join(""));
}

const MAX_HOSTS = 1 << 20;

/** What is in a hosts file that a container may write; undefined for one so large that nobody of ours changes it. */
function ownHosts(path: string): string | undefined {
  using file = open(path, O_RDONLY | O_NOFOLLOW);
  const bytes = new Uint8Array(MAX_HOSTS + 1);
  const length = read(file.number, bytes);
  return length > MAX_HOSTS ? undefined : new TextDecoder().decode(bytes.subarray(0, length));
}

/** Takes the lines of these addresses away again. */
export function removeHostsLines(root: string, { id }: ContainerRecord, addresses: readonly string[]): void {
  const path = etcPaths(root, id).hosts;
  const lines = ownHosts(path)?.split("\n");
  if (lines === undefined) return;
  writeInPlace(path, lines.filter((line) => !addresses.includes(line.trim().split(/\s+/)[0] ?? "")).join("\n"));
}
