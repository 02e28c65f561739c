/**
 * Secrets of a container (`run --secret`): files that its programs find in /run/secrets, on a file system in memory.
 *
 * What is recorded says which secret goes where, never what is in it. The content lies below the state directory, which
 * does not survive a boot, from the container's creation to its removal; it crosses to init beside the runtime-spec.
 */
import type { Engine } from "../db/engine.ts";
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import type { SecretFile } from "../spec/runtime.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, open, writeAll } from "../sys/fd.ts";
import { mkdirAll, readFile, S_IFMT, S_IFREG, statx } from "../sys/file.ts";
import { OptionError } from "./option-error.ts";
import { type ContainerRecord, type SecretMount, secretsDirectory } from "./record.ts";
import { releaseContainer } from "./release.ts";

/** The secrets of a container that is not recorded yet. */
export interface GivenSecrets {
  readonly mounts: readonly SecretMount[];
  /**
   * Keeps the content until the container is removed. To be called when it is recorded, so that a row leads to it. A
   * container whose secrets cannot be kept is none: it is released before the failure is thrown.
   */
  keep(engine: Engine, record: ContainerRecord): void;
}

/** A secret with what is in it. */
interface GivenSecret {
  readonly secret: SecretMount;
  readonly content: Uint8Array;
}

/** As Docker's and podman's secrets. */
const MAX_BYTES = 500 * 1024;
/** Of all secrets of a container: they cross in one message. */
const MAX_TOTAL_BYTES = 2 << 20;
const DEFAULT_MODE = 0o444;
const KEYS = ["id", "src", "source", "env", "target", "dst", "destination", "uid", "gid", "mode"];

interface Caller {
  readonly variables: { readonly [name: string]: string | undefined };
  readonly directory: string;
}

/** What `--secret` says, read at once. Throws OptionError. */
export function givenSecrets(flags: readonly string[], caller: Caller): GivenSecrets {
  const given = secretsFromFlags(flags, caller);
  return {
    mounts: given.map(({ secret }) => secret),
    keep: (engine, record) => {
      try {
        for (const { secret, content } of given) store(engine, record.id, secret, content);
      } catch (error) {
        releaseContainer(engine, record, { volumes: true });
        throw error;
      }
    },
  };
}

/** Reads what `--secret` names. Throws OptionError for what a flag cannot mean, or what it names cannot be read. */
export function secretsFromFlags(flags: readonly string[], caller: Caller): readonly GivenSecret[] {
  const given = flags.map((text) => readSecret(text, caller));
  const places = new Set<string>();
  for (const { secret } of given) {
    if (places.has(secret.Target)) throw new OptionError(`two secrets have the target ${secret.Target}`, "secret");
    places.add(secret.Target);
  }
  if (given.reduce((sum, { content }) => sum + content.length, 0) > MAX_TOTAL_BYTES)
    throw new OptionError(`the secrets of a container may have ${MAX_TOTAL_BYTES} bytes together`, "secret");
  return given;
}

function readSecret(text: string, caller: Caller): GivenSecret {
  const fail = (why: string) => new OptionError(`invalid secret: ${why}`, "secret", text);
  const fields = new Map<string, string>();
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const key = part.slice(0, equals);
    if (equals < 0 || !KEYS.includes(key)) throw fail(`unexpected '${equals < 0 ? part : key}'`);
    if (fields.has(key)) throw fail(`${key} is given twice`);
    fields.set(key, part.slice(equals + 1));
  }
  const Name = fields.get("id") ?? "";
  if (!/^[a-zA-Z0-9][\w.-]{0,252}$/.test(Name)) throw fail("id must be a name of letters, digits, '_', '.' and '-'");
  const source = fields.get("src") ?? fields.get("source");
  const variable = fields.get("env");
  if ((source === undefined) === (variable === undefined)) throw fail("one of src=FILE and env=VARIABLE is needed");
  const secret = {
    Name,
    Target: target(fields.get("target") ?? fields.get("dst") ?? fields.get("destination") ?? Name, fail),
    UID: number(fields.get("uid"), 0, 10, 2 ** 31 - 1, "uid", fail),
    GID: number(fields.get("gid"), 0, 10, 2 ** 31 - 1, "gid", fail),
    Mode: number(fields.get("mode"), DEFAULT_MODE, 8, 0o777, "mode", fail),
  };
  if (variable !== undefined) {
    const value = caller.variables[variable];
    if (value === undefined) throw fail(`the environment has no variable ${variable}`);
    return { secret, content: checkSize(new TextEncoder().encode(value), fail) };
  }
  const path = source?.startsWith("/") === true ? source : `${caller.directory}/${source}`;
  const content = readSource(path, fail);
  // What is no file (a pipe of the shell's) cannot be read a second time.
  return { secret: isFile(path) ? { ...secret, Source: path } : secret, content };
}

type Fail = (why: string) => OptionError;

/** A name in /run/secrets, or a place of its own. */
function target(text: string, fail: Fail): string {
  const path = text.startsWith("/") ? text : `/run/secrets/${text}`;
  const parts = path.slice(1).split("/");
  const isInside = text.startsWith("/") || parts.length === 3;
  if (!isInside || parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0")))
    throw fail(`target '${text}' must be a name or an absolute path`);
  if (parts[0] === "proc" || path === "/run/secrets") throw fail(`nothing can be mounted on ${path}`);
  return path;
}

function number(
  text: string | undefined,
  otherwise: number,
  base: 8 | 10,
  most: number,
  key: string,
  fail: Fail,
): number {
  if (text === undefined) return otherwise;
  const value = (base === 8 ? /^[0-7]{1,4}$/ : /^\d{1,10}$/).test(text) ? Number.parseInt(text, base) : Number.NaN;
  if (!(value <= most))
    throw fail(`${key} '${text}' is not ${base === 8 ? "an octal mode" : "a number of a user or group"}`);
  return value;
}

function readSource(path: string, fail: Fail): Uint8Array {
  let content: Uint8Array;
  try {
    content = readFile(path, MAX_BYTES + 1);
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error));
  }
  return checkSize(content, fail);
}

function checkSize(content: Uint8Array, fail: Fail): Uint8Array {
  if (content.length > MAX_BYTES) throw fail(`it has more than ${MAX_BYTES} bytes`);
  return content;
}

function isFile(path: string): boolean {
  return (statx(AT_FDCWD, path, 0).mode & S_IFMT) === S_IFREG;
}

function store(engine: Engine, id: string, { Name }: SecretMount, content: Uint8Array): void {
  const directory = secretsDirectory(engine.state, id);
  mkdirAll(directory, 0o700);
  using file = open(`${directory}/${Name}`, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  writeAll(file.number, content);
}

/** The container's secrets as init makes them. After a boot they are read again from the files they came from. */
export function secretFiles(engine: Engine, record: ContainerRecord): readonly SecretFile[] {
  return (record.hostConfig.Secrets ?? []).map((secret) => ({
    path: secret.Target,
    uid: secret.UID,
    gid: secret.GID,
    mode: secret.Mode,
    content: contentOf(engine, record, secret),
  }));
}

function contentOf(engine: Engine, { id, name }: ContainerRecord, secret: SecretMount): Uint8Array {
  try {
    return readFile(`${secretsDirectory(engine.state, id)}/${secret.Name}`, MAX_BYTES);
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
  }
  const gone = `secret ${secret.Name} of container ${name} did not outlive the last boot`;
  if (secret.Source === undefined)
    throw new CtrError("unavailable", `${gone}: it came from no file, so the container must be created again`);
  const { Source } = secret;
  const content = readSource(
    Source,
    (why) => new OptionError(`${gone}, and could not be read again: ${why}`, "secret"),
  );
  store(engine, id, secret, content);
  return content;
}
