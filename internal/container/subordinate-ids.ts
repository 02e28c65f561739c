/** The ids that a user may give to containers: subuid(5) and subgid(5), which is one format. */
import { CtrError, ENOENT, isErrno, withContext } from "../errors/error.ts";
import { readText } from "../sys/file.ts";

/** A run of ids of the host. */
export interface IdRange {
  readonly start: number;
  readonly size: number;
}

/** An owner's name and number, as far as there are both: lines may be by either. */
export interface Owner {
  readonly name?: string;
  readonly id?: number;
}

/** user_namespaces(7): ids are 32 bits, and the last one is none. */
const IDS = 2 ** 32 - 1;
const MAX_BYTES = 4 << 20;

/**
 * The ranges of this owner, in the order of the file, which `path` names in errors. Throws `invalid` for a line of the
 * owner's that means nothing: what comes out of it would not be what the administrator wanted.
 */
export function subordinateRanges(text: string, owner: Owner, path: string): IdRange[] {
  return text.split("\n").flatMap((line, index) => {
    const [who, start = "", size = "", ...rest] = line.trim().split(":");
    const isTheirs = who !== "" && (who === owner.name || who === String(owner.id));
    if (!isTheirs || line.startsWith("#")) return [];
    const range = { start: number(start), size: number(size) };
    if (rest.length > 0 || !(range.size >= 1 && range.start + range.size <= IDS))
      throw new CtrError("invalid", `${path}: line ${index + 1} is no name:first:count of ids below ${IDS}`);
    return [range];
  });
}

function number(text: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
}

type Variables = { readonly [name: string]: string | undefined };

/** The files, which CTR_SUBUID and CTR_SUBGID move. */
export function subordinateFiles(variables: Variables): { readonly uids: string; readonly gids: string } {
  return { uids: variables["CTR_SUBUID"] || "/etc/subuid", gids: variables["CTR_SUBGID"] || "/etc/subgid" };
}

/** The user's and the group's ranges. Throws `invalid`, saying what to write where, when one of them has none. */
export function rangesOf(
  variables: Variables,
  user: Owner,
  group: Owner,
  asked: string,
): { readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] } {
  const files = subordinateFiles(variables);
  const find = (path: string, owner: Owner): IdRange[] => {
    const ranges = subordinateRanges(readOptional(path), owner, path);
    if (ranges.length > 0) return ranges;
    const name = owner.name ?? String(owner.id);
    const message =
      `${asked}: ${name} has no subordinate ids in ${path}: ` +
      `add a line like "${name}:100000:65536", with ids that nobody else has`;
    throw new CtrError("invalid", message);
  };
  return { uids: find(files.uids, user), gids: find(files.gids, group) };
}

function readOptional(path: string): string {
  try {
    return readText(path, MAX_BYTES);
  } catch (error) {
    if (isErrno(error, ENOENT)) return "";
    throw withContext("subordinate ids", error);
  }
}

/** A user or group by name or number, with both where passwd(5) or group(5) has them; nobody has to be in there. */
export function findOwner(text: string, file: "/etc/passwd" | "/etc/group"): Owner {
  const isNumber = /^\d{1,10}$/.test(text);
  for (const line of readOptional(file).split("\n")) {
    const [name = "", , id = ""] = line.split(":");
    if (isNumber ? id === text : name === text) return { name, id: Number(id) };
  }
  return isNumber ? { id: Number(text) } : { name: text };
}
