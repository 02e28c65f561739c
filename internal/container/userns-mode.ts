/** `--userns`: which ids a container is to have, read from the flag, the engine's configuration and the machine's files. */
import { loadEngineConfig } from "../db/engine-config.ts";
import { CtrError } from "../errors/error.ts";
import type { IdMapping } from "../spec/runtime.ts";
import type { IdRuns } from "../sys/user-namespace.ts";
import { OptionError } from "./option-error.ts";
import { findOwner, type IdRange, type Owner, rangesOf } from "./subordinate-ids.ts";

type Variables = { readonly [name: string]: string | undefined };

/** What a new container is to have; `mode` is Docker's UsernsMode, or this engine's word for it. */
export type UserNamespaceRequest =
  | { readonly kind: "host"; readonly mode: "host" | "" }
  /** `isDefault`: nobody asked for it but the engine's configuration. */
  | {
      readonly kind: "maps";
      readonly mode: string;
      readonly isDefault: boolean;
      readonly maps: IdRuns;
      readonly user?: string;
    }
  | { readonly kind: "auto"; readonly mode: string; readonly size: number; readonly pool: Pool }
  | { readonly kind: "container"; readonly mode: string; readonly name: string };

/** The ids that `auto` takes from. */
export interface Pool {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
  readonly owner: string;
}

/** Of those `auto` takes when nobody says how many: every id that an image is likely to have. */
const AUTO_SIZE = 65536;
/** Podman's name for whom it takes them from. */
const AUTO_OWNER = "containers";
/** Docker's `default` user, after our own. */
const REMAP_OWNERS = ["ctr", "dockremap"];

/** True if containers are remapped that do not say otherwise. */
export function remapsByDefault(variables: Variables): boolean {
  return loadEngineConfig(variables).usernsRemap !== undefined;
}

/** Reads it. Throws OptionError for a mode that is none, `invalid` for what the machine has no ids for. */
export function userNamespaceRequest(flag: string | undefined, variables: Variables): UserNamespaceRequest {
  const [, word = "", rest = ""] = /^([^:]*)(?::(.*))?$/s.exec(flag ?? "") ?? [];
  switch (word) {
    case "host":
      if (rest !== "" || flag !== "host") break;
      return { kind: "host", mode: "host" };
    case "":
    case "private": {
      if (flag !== undefined && flag !== word) break;
      const { usernsRemap } = loadEngineConfig(variables);
      if (usernsRemap !== undefined)
        return { ...remapped(usernsRemap, "userns-remap", variables), mode: "", isDefault: true };
      if (word === "") return { kind: "host", mode: "" };
      return { ...remapped("default", "--userns=private", variables), mode: "private" };
    }
    case "remap":
      return { ...remapped(rest || "default", `--userns=${flag}`, variables), mode: flag ?? "" };
    case "auto":
      return { ...automatic(rest, variables), mode: flag ?? "" };
    case "keep-id":
      return { ...kept(rest, variables), mode: flag ?? "" };
    case "container":
      if (rest === "") break;
      return { kind: "container", mode: flag ?? "", name: rest };
    default:
  }
  throw new OptionError("--userns: invalid USER mode");
}

/** `user[:group]`; `default` is the first of the usual ones that has ids. */
function remapped(text: string, asked: string, variables: Variables) {
  const [name = "", groupName = name, ...more] = text.split(":");
  if (name === "" || groupName === "" || more.length > 0)
    throw new CtrError("invalid", `${asked}: ${text} is no user[:group]`);
  const { uids, gids } =
    text === "default"
      ? rangesOfDefault(asked, variables)
      : rangesOf(variables, findOwner(name, "/etc/passwd"), findOwner(groupName, "/etc/group"), asked);
  return { kind: "maps", isDefault: false, maps: { uids: inOrder(uids), gids: inOrder(gids) } } as const;
}

function rangesOfDefault(asked: string, variables: Variables): Omit<Pool, "owner"> {
  let problem: unknown;
  for (const name of REMAP_OWNERS) {
    try {
      return rangesOf(variables, { name }, { name }, asked);
    } catch (error) {
      // What is said is about the first: that is the one to be made.
      problem ??= error;
    }
  }
  throw problem;
}

/** The ranges one after the other, from 0 on. */
export function inOrder(ranges: readonly IdRange[]): IdMapping[] {
  let containerID = 0;
  return ranges.map(({ start, size }) => {
    const run = { containerID, hostID: start, size };
    containerID += size;
    return run;
  });
}

/** The words of `name=value,name=value`. Throws OptionError for a name that is not known here. */
function words(text: string, mode: string, names: readonly string[]): { readonly [name: string]: number } {
  const values: { [name: string]: number } = {};
  for (const word of text === "" ? [] : text.split(",")) {
    const [, name = "", value = ""] = /^([a-z]+)=(\d{1,10})$/.exec(word) ?? [];
    if (!names.includes(name)) {
      const known = names.map((known) => `${known}=N`).join(", ");
      throw new OptionError(`--userns: invalid option of ${mode}: ${word} (known are ${known})`);
    }
    values[name] = Number(value);
  }
  return values;
}

function automatic(text: string, variables: Variables) {
  const size = words(text, "auto", ["size"])["size"] ?? AUTO_SIZE;
  if (size < 1 || size > 2 ** 31) throw new OptionError("--userns: size of auto is no number from 1 to 2147483648");
  const owner = loadEngineConfig(variables).usernsAutoUser ?? AUTO_OWNER;
  const ranges = rangesOf(variables, findOwner(owner, "/etc/passwd"), findOwner(owner, "/etc/group"), "--userns=auto");
  return { kind: "auto", size, pool: { ...ranges, owner } } as const;
}

/** Who called: through sudo(8) it is not us. */
function caller(variables: Variables): { readonly uid: number; readonly gid: number; readonly owner: Owner } {
  const number = (text: string | undefined) => (/^\d{1,10}$/.test(text ?? "") ? Number(text) : undefined);
  const uid = number(variables["SUDO_UID"]) ?? process.getuid?.() ?? 0;
  const gid = number(variables["SUDO_GID"]) ?? process.getgid?.() ?? 0;
  const name = variables["SUDO_USER"];
  return {
    uid,
    gid,
    owner: name === undefined || name === "" ? findOwner(`${uid}`, "/etc/passwd") : { name, id: uid },
  };
}

/** The caller's own ids stay what they are, or become those of `uid=`, `gid=`; the others are the caller's subordinate ones. */
function kept(text: string, variables: Variables) {
  const given = words(text, "keep-id", ["uid", "gid", "size"]);
  const { uid, gid, owner } = caller(variables);
  if (uid === 0) {
    throw new CtrError(
      "invalid",
      "--userns=keep-id: root called, whose id a container is not to have: call ctr through sudo, or use --userns=remap",
    );
  }
  const { uids, gids } = rangesOf(variables, owner, owner, "--userns=keep-id");
  const wanted = { uid: given["uid"] ?? uid, gid: given["gid"] ?? gid };
  const { size } = given;
  const maps = { uids: around(uids, wanted.uid, uid, size), gids: around(gids, wanted.gid, gid, size) };
  return { kind: "maps", isDefault: false, maps, user: `${wanted.uid}:${wanted.gid}` } as const;
}

/** `ranges` from 0 on, `own` at `at` in between, and no more than `size` ids in all. */
function around(ranges: readonly IdRange[], at: number, own: number, size = Number.POSITIVE_INFINITY): IdMapping[] {
  const runs: IdMapping[] = [];
  let next = 0;
  for (const range of ranges) {
    let { start, size: left } = range;
    while (left > 0 && next < size) {
      if (next === at) next++;
      const end = next < at ? Math.min(at, size) : size;
      const count = Math.min(left, end - next);
      if (count <= 0) break;
      runs.push({ containerID: next, hostID: start, size: count });
      next += count;
      start += count;
      left -= count;
    }
  }
  runs.push({ containerID: at, hostID: own, size: 1 });
  return runs.sort((a, b) => a.containerID - b.containerID);
}
