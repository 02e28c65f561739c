/**
 * How registries are reached, by `/etc/ctr/registries.toml` and the environment: mirrors, insecure registries,
 * certificates, proxies. docs/registries.md is the page about the file.
 */
import { CtrError, ENOENT, ENOTDIR, isErrno, withContext } from "../errors/error.ts";
import { readText } from "../sys/file.ts";
import { hostnameOf, isLoopback, type Network, parseNetwork } from "./host-match.ts";
import { asObject, shown } from "./registry-error.ts";

/** The variables of the caller's environment that matter here: HOME, DOCKER_CONFIG, PATH, CTR_REGISTRIES, HTTP_PROXY and its like. */
export type Environment = { readonly [name: string]: string | undefined };

/** One host that may answer for a registry. */
export interface Endpoint {
  /** `registry-1.docker.io`, `mirror.example.com:5000`. */
  readonly host: string;
  /** Put before the repository's path: `/cache` of a mirror at `https://example.com/cache`. Empty or with a leading slash. */
  readonly prefix: string;
  /** `http` only if the settings say so; an insecure `https` falls back to it. */
  readonly scheme: "https" | "http";
  /** Its certificate is not verified, and plain HTTP is tried when it does not speak TLS. */
  readonly isInsecure: boolean;
  readonly isMirror: boolean;
}

/** What the file and the environment say, checked. */
export interface RegistrySettings {
  readonly environment: Environment;
  /** By domain as it stands in references: `docker.io`, `registry.example.com:5000`. */
  readonly registries: ReadonlyMap<string, RegistryEntry>;
  readonly insecureNetworks: readonly Network[];
  /** Directories with `<host:port>/*.crt`, `*.cert` and `*.key`; the first that has one for a host is used. */
  readonly certificateDirectories: readonly string[];
  readonly proxies: Proxies;
  /** How often a request is repeated after 429, 5xx or a lost connection. */
  readonly retries: number;
  /** A connection on which nothing came or went for so long is given up. */
  readonly stallTimeoutMs: number;
  /** The longest wait a registry may ask for by Retry-After. */
  readonly retryAfterLimitMs: number;
}

/** What the file says of one registry. */
export interface RegistryEntry {
  readonly isInsecure: boolean;
  readonly mirrors: readonly Endpoint[];
}

/** URLs of proxies; each may hold a user and a password, so they are never printed. */
export interface Proxies {
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Hosts reached directly: names, `.suffix`, addresses, networks, `*`. */
  readonly except: readonly string[];
}

export const SETTINGS_PATH = "/etc/ctr/registries.toml";
const CERTIFICATE_DIRECTORIES = ["/etc/ctr/certs.d", "/etc/docker/certs.d"];
const DEFAULT_RETRIES = 4;
const DEFAULT_STALL_S = 60;
const DEFAULT_RETRY_AFTER_S = 60;

/** Docker Hub answers at another name than the one in references. */
const HUB = "docker.io";
const HUB_HOST = "registry-1.docker.io";

/**
 * Reads the settings: the file that CTR_REGISTRIES names, which must be there, or `/etc/ctr/registries.toml` if it is.
 * Throws CtrError `invalid` with the file and the key for anything it does not know.
 */
export function loadRegistrySettings(environment: Environment): RegistrySettings {
  const chosen = environment["CTR_REGISTRIES"];
  const path = chosen === undefined || chosen === "" ? SETTINGS_PATH : chosen;
  let text = "";
  try {
    text = readText(path);
  } catch (error) {
    if (path !== SETTINGS_PATH || !isErrno(error, ENOENT, ENOTDIR)) throw withContext("registry settings", error);
  }
  return parseRegistrySettings(text, path, environment);
}

/** The settings of a file's text; `path` is named in errors. */
export function parseRegistrySettings(text: string, path: string, environment: Environment): RegistrySettings {
  let file: unknown;
  try {
    file = Bun.TOML.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^TOML Parse error: /, "") : String(error);
    throw new CtrError("invalid", `${path}: ${reason}`, { cause: error });
  }
  const top = new Section(file, path, "", [
    "registry",
    "insecure-networks",
    "certificate-directories",
    "proxy",
    "retries",
    "stall-timeout",
    "retry-after-limit",
  ]);
  const insecureNetworks = top.strings("insecure-networks").map((network, at) => {
    const parsed = parseNetwork(network);
    if (parsed === undefined)
      throw top.wrong(`insecure-networks[${at}]`, `${quoted(network)} is no network (10.0.0.0/8)`);
    return parsed;
  });
  const entries = top.section("registry")?.sections() ?? [];
  const insecureHosts = new Set(entries.filter(([, entry]) => entry.boolean("insecure")).map(([host]) => host));
  const registries = new Map<string, RegistryEntry>();
  for (const [domain, entry] of entries) {
    if (!isHost(domain)) throw top.wrong(`registry.${quoted(domain)}`, "is no host name (registry.example.com:5000)");
    entry.only(["insecure", "mirrors"]);
    const mirrors = entry
      .strings("mirrors")
      .map((mirror, at) => parseMirror(mirror, insecureHosts, (why) => entry.wrong(`mirrors[${at}]`, why)));
    registries.set(canonicalDomain(domain), { isInsecure: entry.boolean("insecure"), mirrors });
  }
  const directories = top.strings("certificate-directories", CERTIFICATE_DIRECTORIES);
  const relative = directories.findIndex((directory) => !directory.startsWith("/"));
  if (relative >= 0) throw top.wrong(`certificate-directories[${relative}]`, "is no absolute path");
  return {
    environment,
    registries,
    insecureNetworks,
    certificateDirectories: directories,
    proxies: proxies(top.section("proxy"), environment),
    retries: top.integer("retries", 0, 100, DEFAULT_RETRIES),
    stallTimeoutMs: top.integer("stall-timeout", 1, 86_400, DEFAULT_STALL_S) * 1000,
    retryAfterLimitMs: top.integer("retry-after-limit", 0, 86_400, DEFAULT_RETRY_AFTER_S) * 1000,
  };
}

/** The hosts to ask for a registry, in order: for `pull` its mirrors, and always the registry itself at the end. */
export async function endpointsOf(
  settings: RegistrySettings,
  domain: string,
  actions: "pull" | "push",
): Promise<readonly Endpoint[]> {
  const canonical = canonicalDomain(domain);
  const own: Endpoint = {
    host: canonical === HUB ? HUB_HOST : canonical,
    prefix: "",
    scheme: "https",
    isInsecure: await isInsecure(settings, canonical),
    isMirror: false,
  };
  return actions === "push" ? [own] : [...(settings.registries.get(canonical)?.mirrors ?? []), own];
}

/**
 * True if a registry may be spoken to without TLS or with a certificate nobody vouches for: by the file, or because it
 * is on this machine (127.0.0.0/8, ::1, localhost), as Docker has it.
 */
export async function isInsecure(settings: RegistrySettings, host: string): Promise<boolean> {
  if (settings.registries.get(canonicalDomain(host))?.isInsecure === true) return true;
  const hostname = hostnameOf(host);
  if (isLoopback(hostname)) return true;
  if (settings.insecureNetworks.length === 0) return false;
  const { isHostIn } = await import("./resolve-host.ts");
  return await isHostIn(hostname, settings.insecureNetworks);
}

/** The settings with one more insecure registry. */
export function withInsecure(settings: RegistrySettings, domain: string): RegistrySettings {
  const canonical = canonicalDomain(domain);
  const entry: RegistryEntry = { mirrors: [], ...settings.registries.get(canonical), isInsecure: true };
  return { ...settings, registries: new Map([...settings.registries, [canonical, entry]]) };
}

/** `index.docker.io` and `registry-1.docker.io` are `docker.io`. */
export function canonicalDomain(domain: string): string {
  return domain === "index.docker.io" || domain === HUB_HOST ? HUB : domain;
}

/** `https://mirror.example.com/prefix`, or a host alone. */
function parseMirror(text: string, insecureHosts: ReadonlySet<string>, wrong: (why: string) => CtrError): Endpoint {
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (url === null) throw wrong(`${quoted(text)} is no URL (https://mirror.example.com)`);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw wrong(`${quoted(text)} is neither https nor http`);
  if (url.username !== "" || url.password !== "") throw wrong("credentials do not belong here: `ctr login` keeps them");
  if (url.search !== "" || url.hash !== "") throw wrong(`${quoted(text)} has more than a host and a path`);
  const scheme = url.protocol === "https:" ? "https" : "http";
  return {
    host: url.host,
    prefix: url.pathname.replace(/\/+$/, ""),
    scheme,
    isInsecure: scheme === "http" || insecureHosts.has(url.host) || isLoopback(hostnameOf(url.host)),
    isMirror: true,
  };
}

/** The file's proxies stand for the environment's as a whole, as `proxies` of Docker's daemon.json does. */
function proxies(section: Section | undefined, environment: Environment): Proxies {
  if (section === undefined) {
    const of = (name: string) => environment[name.toLowerCase()] || environment[name] || undefined;
    const checked = (name: string) => checkProxy(of(name), (why) => new CtrError("invalid", `${name}: ${why}`));
    return {
      http: checked("HTTP_PROXY"),
      https: checked("HTTPS_PROXY"),
      except: (of("NO_PROXY") ?? "").split(/[\s,]+/).filter((entry) => entry !== ""),
    };
  }
  section.only(["http", "https", "except"]);
  const checked = (key: string) => checkProxy(section.string(key), (why) => section.wrong(key, why));
  return { http: checked("http"), https: checked("https"), except: section.strings("except") };
}

/** A proxy's URL; `host:port` means http. The message does not repeat it: it may hold a password. */
function checkProxy(text: string | undefined, wrong: (why: string) => CtrError): string | undefined {
  if (text === undefined || text === "") return undefined;
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw wrong("is no http or https URL (http://proxy.example.com:3128)");
  }
  return url.href;
}

const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/;

function isHost(text: string): boolean {
  return text.length <= 260 && HOST.test(text);
}

function quoted(text: string): string {
  return JSON.stringify(shown(text, 100));
}

/** A table of the file: its values by type, and errors that name file and key. */
class Section {
  readonly #values: { readonly [key: string]: unknown };
  readonly #path: string;
  readonly #name: string;

  constructor(value: unknown, path: string, name: string, known?: readonly string[]) {
    const values = asObject(value);
    this.#path = path;
    this.#name = name;
    this.#values = values ?? {};
    if (values === undefined) throw this.wrong("", "is no table");
    if (known !== undefined) this.only(known);
  }

  only(known: readonly string[]): void {
    for (const key of Object.keys(this.#values)) {
      if (!known.includes(key)) throw this.wrong(key, `is not known here (${known.join(", ")} are)`);
    }
  }

  wrong(key: string, why: string): CtrError {
    const name = [this.#name, shown(key, 100)].filter((part) => part !== "").join(".");
    return new CtrError("invalid", `${this.#path}: ${name}: ${why}`);
  }

  section(key: string): Section | undefined {
    const value = this.#values[key];
    if (value === undefined) return undefined;
    return new Section(value, this.#path, [this.#name, key].filter((part) => part !== "").join("."));
  }

  sections(): readonly (readonly [string, Section])[] {
    return Object.keys(this.#values).map((key) => [
      key,
      new Section(this.#values[key], this.#path, `${this.#name}.${quoted(key)}`),
    ]);
  }

  strings(key: string, preset: readonly string[] = []): readonly string[] {
    const value = this.#values[key];
    if (value === undefined) return preset;
    if (!Array.isArray(value)) throw this.wrong(key, "is no list of texts");
    return value.map((item, at) => {
      if (typeof item !== "string") throw this.wrong(`${key}[${at}]`, "is no text");
      return item;
    });
  }

  string(key: string): string | undefined {
    const value = this.#values[key];
    if (value !== undefined && typeof value !== "string") throw this.wrong(key, "is no text");
    return value;
  }

  boolean(key: string): boolean {
    const value = this.#values[key] ?? false;
    if (typeof value !== "boolean") throw this.wrong(key, "is neither true nor false");
    return value;
  }

  integer(key: string, least: number, most: number, preset: number): number {
    const value = this.#values[key] ?? preset;
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
      throw this.wrong(key, `is no whole number from ${least} to ${most}`);
    }
    return value;
  }
}
