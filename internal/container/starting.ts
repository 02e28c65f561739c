/**
 * The journal of early starts: `<state>/starting/<id>`, a link whose target names the command that starts init, and so
 * makes a cgroup, before its container is recorded. Written before the cgroup is made, taken back once there is a row,
 * or by the supervisor once nothing is left of it. What stays here and whose command is dead was left by a crash.
 */
import { ENOENT, isErrno } from "../errors/error.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, open } from "../sys/fd.ts";
import { getdents64, hasEntries, mkdirAll, readlinkat, symlinkat, unlinkIfThere } from "../sys/file.ts";
import type { Keeper } from "./store.ts";

/** A container that was promised to a supervisor. */
export interface EarlyEntry {
  readonly id: string;
  readonly keeper: Keeper;
  /** Empty for the default one. */
  readonly cgroupParent: string;
}

/** Notes a start, before anything is made for it. */
export function noteStart(state: string, { id, keeper, cgroupParent }: EarlyEntry): void {
  const write = () => symlinkat(`${keeper.pid} ${keeper.startTime} ${cgroupParent}`, AT_FDCWD, pathOf(state, id));
  try {
    write();
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
    mkdirAll(state, 0o711);
    mkdirAll(`${state}/starting`, 0o700);
    noteStart(state, { id, keeper, cgroupParent });
  }
}

/** Takes the note back: the container is recorded, or nothing is left of it. Already gone is fine. */
export function forgetStart(state: string, id: string): void {
  unlinkIfThere(pathOf(state, id));
}

/** The starts that are noted: under way, or left by a crash. Most often none, found out by three system calls. */
export function notedStarts(state: string): readonly EarlyEntry[] {
  let names: readonly string[];
  try {
    using directory = open(`${state}/starting`, O_RDONLY | O_DIRECTORY);
    names = getdents64(directory.number).map(({ name }) => new TextDecoder().decode(name));
  } catch (error) {
    if (isErrno(error, ENOENT)) return [];
    throw error;
  }
  return names.flatMap((id) => {
    const entry = readEntry(state, id);
    return entry === undefined ? [] : [entry];
  });
}

/** True if any start is noted, found out by one call. */
export function areStartsNoted(state: string): boolean {
  return hasEntries(`${state}/starting`);
}

function readEntry(state: string, id: string): EarlyEntry | undefined {
  let target: string;
  try {
    target = new TextDecoder().decode(readlinkat(AT_FDCWD, pathOf(state, id)));
  } catch (error) {
    // Taken back meanwhile.
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
  // What is no entry is nobody's, and goes when it is collected.
  const [, pid = "0", startTime = "0", cgroupParent = ""] = /^(\d+) (\d+) (.*)$/s.exec(target) ?? [];
  return { id, keeper: { pid: Number(pid), startTime: Number(startTime) }, cgroupParent };
}

function pathOf(state: string, id: string): string {
  return `${state}/starting/${id}`;
}
