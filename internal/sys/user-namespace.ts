/** User namespaces (user_namespaces(7)), and files made as another user. */
import { Fd } from "./fd.ts";
import { check, cstr, lib } from "./lib.ts";

/** A run of ids: `containerID` is inside the namespace, `hostID` outside. */
export interface IdRun {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** What a user namespace makes of ids. */
export interface IdRuns {
  readonly uids: readonly IdRun[];
  readonly gids: readonly IdRun[];
}

/** A new user namespace with these maps; the process that made it stays in its own. EINVAL for maps that overlap. */
export function userNamespace(uids: readonly IdRun[], gids: readonly IdRun[]): Fd {
  return new Fd(check("user namespace", lib.ctr_user_namespace(cstr(mapText(uids)), cstr(mapText(gids)))));
}

function mapText(runs: readonly IdRun[]): string {
  return runs.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}

/**
 * Until disposed, what this thread makes belongs to that user, and it has no less rights than before (setfsuid(2),
 * setfsgid(2)). On an idmapped mount only those can make anything whose ids it has.
 */
export function asOwner(uid: number, gid: number): Disposable {
  check("setfsuid", lib.ctr_set_fs_ids(uid, gid));
  return {
    [Symbol.dispose]: () => {
      check("setfsuid", lib.ctr_set_fs_ids(process.geteuid?.() ?? 0, process.getegid?.() ?? 0));
    },
  };
}

/** What an id inside is outside; undefined for one that the namespace does not have. Without runs it is the same. */
export function outside(runs: readonly IdRun[] | undefined, id: number): number | undefined {
  if (runs === undefined) return id;
  const run = runs.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return run === undefined ? undefined : run.hostID + (id - run.containerID);
}

/** What an id outside is inside; undefined for one that is not mapped. */
export function inside(runs: readonly IdRun[], id: number): number | undefined {
  const run = runs.find(({ hostID, size }) => id >= hostID && id < hostID + size);
  return run === undefined ? undefined : run.containerID + (id - run.hostID);
}
