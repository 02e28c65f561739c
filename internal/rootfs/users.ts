/**
 * `name|uid[:group|gid]` resolved with a root file system's own passwd and group. Both files may be the container's:
 * opened non-blocking, regular files only, read up to a limit.
 */
import { CtrError, withContext } from "../errors/error.ts";
import { O_NONBLOCK, O_RDONLY } from "../sys/fd.ts";
import { fstat, readFd, S_IFMT, S_IFREG } from "../sys/file.ts";
import { tryOpenInRoot } from "./resolve.ts";

/** Who a process runs as. `home` is from passwd, "/" for a number nobody has. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly home: string;
}

const MAX_BYTES = 4 << 20;
const MAX_ID = 2 ** 31 - 1;

/** Resolves `user` in the root file system behind `root`. Throws CtrError invalid in Docker's words. */
export function resolveUser(root: number, user: string, groupAdd: readonly string[] = []): ResolvedUser {
  const isPlainRoot = user === "" || user === "0" || user === "root";
  return resolveUserIn(
    readDatabase(root, "/etc/passwd"),
    isPlainRoot && groupAdd.length === 0 ? undefined : readDatabase(root, "/etc/group"),
    user,
    groupAdd,
  );
}

/** The home directory of a number, as passwd has it; "/" for one that nobody has. Throws as `resolveUser` does. */
export function homeOf(root: number, { uid, gid }: { readonly uid: number; readonly gid: number }): string {
  if (uid > MAX_ID || gid > MAX_ID) throw outOfRange();
  const entry = parseLines(readDatabase(root, "/etc/passwd"), 7).find((fields) => Number(fields[2]) === uid);
  return entry?.[5] || "/";
}

/** The rule itself, on the files' texts; `group` undefined reads as empty. */
export function resolveUserIn(
  passwd: string,
  group: string | undefined,
  user: string,
  groupAdd: readonly string[] = [],
): ResolvedUser {
  const colon = user.indexOf(":");
  const who = colon < 0 ? user : user.slice(0, colon);
  const givenGroup = colon < 0 ? "" : user.slice(colon + 1);
  const users = parseLines(passwd, 7);
  const groups = parseLines(group ?? "", 4);

  const wanted = who === "" ? "0" : who;
  const byName = users.find((fields) => fields[0] === wanted);
  const number = parseId(wanted);
  const entry = byName ?? (number === undefined ? undefined : users.find((fields) => Number(fields[2]) === number));
  const uid = entry === undefined ? number : parseId(entry[2] ?? "");
  if (uid === undefined) {
    throw isNumeric(wanted)
      ? outOfRange()
      : new CtrError("invalid", `unable to find user ${who}: no matching entries in passwd file`, { exitStatus: 125 });
  }
  const gid = givenGroup === "" ? (parseId(entry?.[3] ?? "") ?? 0) : findGroup(groups, givenGroup);
  // Supplementary groups go by the user's name, and only when no group was asked for by hand (user.GetExecUser of moby).
  const own =
    givenGroup !== "" || entry === undefined
      ? []
      : groups
          .filter((fields) => (fields[3] ?? "").split(",").includes(entry[0] ?? ""))
          .flatMap((fields) => parseId(fields[2] ?? "") ?? []);
  const added = groupAdd.map((name) => findGroup(groups, name));
  // The primary group too: without it a set-gid program could shed it, and with it what is forbidden to that group.
  return { uid, gid, groups: [...new Set([gid, ...own, ...added])], home: entry?.[5] || "/" };
}

function findGroup(groups: readonly (readonly string[])[], name: string): number {
  const found = groups.find((fields) => fields[0] === name);
  const gid = found === undefined ? parseId(name) : parseId(found[2] ?? "");
  if (gid !== undefined) return gid;
  throw isNumeric(name)
    ? outOfRange()
    : new CtrError("invalid", `unable to find group ${name}: no matching entries in group file`, { exitStatus: 125 });
}

function outOfRange(): CtrError {
  return new CtrError("invalid", "uids and gids must be in range 0-2147483647", { exitStatus: 125 });
}

function isNumeric(value: string): boolean {
  return /^-?\d+$/.test(value);
}

function parseId(value: string): number | undefined {
  if (!/^\d{1,10}$/.test(value)) return undefined;
  const id = Number(value);
  return id <= MAX_ID ? id : undefined;
}

function parseLines(text: string, fields: number): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"))
    .filter((line) => line.length >= Math.min(fields, 3));
}

function readDatabase(root: number, path: string): string {
  using fd = tryOpenInRoot(root, path, O_RDONLY | O_NONBLOCK);
  if (fd === undefined) return "";
  if ((fstat(fd.number).mode & S_IFMT) !== S_IFREG)
    throw new CtrError("invalid", `${path} of the container is not a regular file`);
  try {
    return new TextDecoder().decode(readFd(fd.number, MAX_BYTES));
  } catch (error) {
    throw withContext(`${path} of the container`, error);
  }
}
