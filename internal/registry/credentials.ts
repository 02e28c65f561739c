/**
 * Who we are to a registry, as Docker's clients keep it: `config.json` with `auths`, `credHelpers` and `credsStore`.
 * Secrets go through files of mode 0600 and through pipes; never into an argument, a log or a message.
 */
import { CtrError, ENOENT, ENOTDIR, isErrno, withContext } from "../errors/error.ts";
import {
  AT_FDCWD,
  flock,
  LOCK_EX,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  open,
  writeAll,
} from "../sys/fd.ts";
import {
  exists,
  fchownat,
  mkdirAll,
  readlinkat,
  readText,
  renameat2,
  S_IFLNK,
  S_IFMT,
  statx,
  unlinkat,
} from "../sys/file.ts";
import { runHelper } from "./credential-helper.ts";
import { asObject } from "./registry-error.ts";
import { canonicalDomain, type Environment } from "./settings.ts";

/** A password, or the identity token a token server gave for one. Never printed. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string | undefined;
}

/** Where credentials come from. */
export interface Authority {
  /** Those for a registry's host, if any are kept. */
  get(host: string): Promise<Credentials | undefined>;
}

/** Docker's configuration as a store of credentials. */
export interface CredentialStore extends Authority {
  /** Where `put` keeps those of this host: the file's path, or the name of a helper. */
  keeperOf(host: string): { readonly file: string } | { readonly helper: string };
  put(host: string, credentials: Credentials): Promise<void>;
  /** Forgets them; false if there were none. */
  remove(host: string): Promise<boolean>;
}

/** Nobody: for requests that must not say who we are. */
export const ANONYMOUS: Authority = { get: async () => undefined };

/** The name Docker Hub's credentials are kept under; other registries' are kept under their host. */
export const HUB_SERVER = "https://index.docker.io/v1/";
/** How a helper marks an identity token (docker-credential-helpers). */
const TOKEN_USERNAME = "<token>";

const MAX_CONFIG = 4 << 20;

type Json = { readonly [key: string]: unknown };

/** The store of the caller's Docker configuration: DOCKER_CONFIG, else `~/.docker`. Reads nothing yet. */
export function openCredentialStore(environment: Environment): CredentialStore {
  const directory = configDirectory(environment);
  const path = `${directory}/config.json`;
  const read = () => readConfig(path);
  const helperOf = (config: Json, server: string): string | undefined => {
    const own = asObject(config["credHelpers"])?.[server];
    if (typeof own === "string" && own !== "") return own;
    const general = config["credsStore"];
    return typeof general === "string" && general !== "" ? general : undefined;
  };
  return {
    async get(host) {
      const config = read();
      const server = serverOf(host);
      const helper = helperOf(config, server);
      const found = helper === undefined ? undefined : await askHelper(helper, server, environment);
      return found ?? entryOf(config, server, path)?.credentials;
    },
    keeperOf(host) {
      const helper = helperOf(read(), serverOf(host));
      return helper === undefined ? { file: path } : { helper };
    },
    async put(host, credentials) {
      const server = serverOf(host);
      const helper = helperOf(read(), server);
      if (helper !== undefined) {
        const isToken = credentials.identityToken !== undefined;
        await runHelper(helper, "store", environment, {
          ServerURL: server,
          Username: isToken ? TOKEN_USERNAME : credentials.username,
          Secret: credentials.identityToken ?? credentials.password,
        });
      }
      change(directory, path, (auths) => ({ ...auths, [server]: helper === undefined ? encode(credentials) : {} }));
    },
    async remove(host) {
      const server = serverOf(host);
      const config = read();
      const helper = helperOf(config, server);
      const isKept = helper !== undefined && (await askHelper(helper, server, environment)) !== undefined;
      if (helper !== undefined && isKept) await runHelper(helper, "erase", environment, server);
      const entry = entryOf(config, server, path);
      if (entry === undefined) return isKept;
      change(directory, path, (auths) => {
        const { [entry.key]: _gone, ...rest } = auths;
        return rest;
      });
      return true;
    },
  };
}

/** What a host's credentials are kept under. */
export function serverOf(host: string): string {
  return canonicalDomain(host) === "docker.io" ? HUB_SERVER : host;
}

function configDirectory(environment: Environment): string {
  const chosen = environment["DOCKER_CONFIG"];
  if (chosen !== undefined && chosen !== "") return chosen.replace(/(?<=.)\/+$/, "");
  return `${environment["HOME"] || "/root"}/.docker`;
}

function readConfig(path: string): Json {
  let text: string;
  try {
    text = readText(path, MAX_CONFIG);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return {};
    throw withContext("Docker configuration", error);
  }
  if (text.trim() === "") return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Without the cause: the parser's message may repeat a secret.
    throw new CtrError("invalid", `${path} is not JSON`);
  }
  const config = asObject(parsed);
  if (config === undefined) throw new CtrError("invalid", `${path} is no JSON object`);
  return config;
}

/** The entry of `auths` for a server: under its name, or under a URL with its host, as old clients wrote it. */
function entryOf(
  config: Json,
  server: string,
  path: string,
): { readonly key: string; readonly credentials: Credentials | undefined } | undefined {
  const auths = asObject(config["auths"]) ?? {};
  const wanted = hostOf(server);
  const key = Object.hasOwn(auths, server) ? server : Object.keys(auths).find((name) => hostOf(name) === wanted);
  if (key === undefined) return undefined;
  return { key, credentials: decode(asObject(auths[key]) ?? {}, `${path}: auths: ${key}`) };
}

/** `https://registry.example.com/v2/` → `registry.example.com`. */
function hostOf(server: string): string {
  return server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

function decode(entry: Json, name: string): Credentials | undefined {
  const text = (key: string): string => {
    const value = entry[key] ?? "";
    if (typeof value !== "string") throw new CtrError("invalid", `${name}: ${key} is no text`);
    return value;
  };
  const identityToken = text("identitytoken") || undefined;
  const auth = text("auth");
  if (auth === "") {
    const username = text("username");
    if (username === "" && identityToken === undefined) return undefined;
    return { username, password: text("password"), identityToken };
  }
  const plain = Buffer.from(auth, "base64").toString();
  const colon = plain.indexOf(":");
  if (colon < 0) throw new CtrError("invalid", `${name}: auth is not the base64 of user:password`);
  return {
    username: plain.slice(0, colon),
    password: plain.slice(colon + 1).replace(/\0+$/, ""),
    identityToken,
  };
}

function encode({ username, password, identityToken }: Credentials): Json {
  // Docker drops the password once there is a token for it.
  const auth = Buffer.from(`${username}:${identityToken === undefined ? password : ""}`).toString("base64");
  return identityToken === undefined ? { auth } : { auth, identitytoken: identityToken };
}

async function askHelper(helper: string, server: string, environment: Environment): Promise<Credentials | undefined> {
  const answer = await runHelper(helper, "get", environment, server);
  if (answer === undefined) return undefined;
  const username = answer["Username"];
  const secret = answer["Secret"];
  if (typeof username !== "string" || typeof secret !== "string") {
    throw new CtrError("invalid", `docker-credential-${helper} get: the answer has no Username and Secret`);
  }
  if (username === "" && secret === "") return undefined;
  return username === TOKEN_USERNAME
    ? { username: "", password: "", identityToken: secret }
    : { username, password: secret, identityToken: undefined };
}

/**
 * Changes `auths` and nothing else of the file: read, written aside and renamed under a lock on its directory, so two
 * logins at once are both kept. The file becomes 0600 and keeps its owner; a link to it stays a link.
 */
function change(directory: string, path: string, edit: (auths: Json) => Json): void {
  mkdirAll(directory, 0o700);
  using lock = open(directory, O_RDONLY | O_DIRECTORY);
  flock(lock.number, LOCK_EX);
  const config = readConfig(path);
  const text = `${JSON.stringify({ ...config, auths: edit(asObject(config["auths"]) ?? {}) }, undefined, "\t")}\n`;
  const target = linkTarget(directory, path);
  const aside = `${target}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    using file = open(aside, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    writeAll(file.number, new TextEncoder().encode(text));
    if (exists(AT_FDCWD, target)) {
      const { uid, gid } = statx(AT_FDCWD, target);
      fchownat(AT_FDCWD, aside, uid, gid);
    }
    renameat2(AT_FDCWD, aside, AT_FDCWD, target);
  } catch (error) {
    if (exists(AT_FDCWD, aside)) unlinkat(AT_FDCWD, aside);
    throw withContext("saving credentials", error);
  }
}

function linkTarget(directory: string, path: string): string {
  if (!exists(AT_FDCWD, path) || (statx(AT_FDCWD, path).mode & S_IFMT) !== S_IFLNK) return path;
  const target = new TextDecoder().decode(readlinkat(AT_FDCWD, path));
  return target.startsWith("/") ? target : `${directory}/${target}`;
}
