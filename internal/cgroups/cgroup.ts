/**
 * A container's cgroup: one directory in each v1 hierarchy that is needed, or one in v2's. Everything a container
 * starts is inside, because its first process enters before it does anything else (see `entrance`).
 */
import { CtrError, ESRCH, isErrno, withContext } from "../errors/error.ts";
import type { Resources } from "../spec/runtime.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import {
  cgroupsPath,
  DEFAULT_PARENT,
  type Entrance,
  entranceOf,
  existingPlaces,
  isTracking,
  isUsual,
  type Place,
  v2Hierarchy,
} from "./birth.ts";
import type { Controller, Stats } from "./controller.ts";
import { missingController, V1_CONTROLLERS, V2_CONTROLLERS, V2_OTHERS } from "./controllers.ts";
import {
  childNames,
  makeDirectory,
  normalPath,
  removeDirectory,
  treePids,
  tryRemove,
  waitForProcesses,
} from "./directories.ts";
import { writeControl } from "./file.ts";
import { cgroupLayout, type Hierarchy, type Layout } from "./layout.ts";
import { signalAll } from "./signal-all.ts";
import * as v1Freezer from "./v1/freezer.ts";
import { oomKills as v1OomKills } from "./v1/memory.ts";
import { applyUnified, enableControllers, killWhole } from "./v2/enable.ts";
import * as v2Freezer from "./v2/freezer.ts";
import { oomKills as v2OomKills } from "./v2/memory.ts";

export type { Stats } from "./controller.ts";

const SIGKILL = 9;
const FREEZE_TIMEOUT_MS = 2000;
/** Worth it, so that nothing forks away; a process that cannot be stopped is killed all the same. */
const FREEZE_TO_KILL_MS = 500;
/** How long `destroyWith` sleeps at most between two looks. */
const LONGEST_LOOK_MS = 100;
// Each round leaves only what was forked during the one before.
const MOVE_ROUNDS = 50;

/**
 * Makes the cgroup `path` (absolute from each hierarchy's root) and applies the limits; nothing is left if that fails.
 * A leftover of the same name without processes is replaced; with processes it throws `conflict`.
 */
export function createCgroup(path: string, resources: Resources, layout: Layout = cgroupLayout()): Cgroup {
  const normal = normalPath(path);
  const cgroup = layout.mode === "v2" ? createV2(normal, layout) : createV1(normal, resources, layout);
  try {
    // On v2 there is always something to switch on.
    if (layout.mode === "v2" || Object.keys(resources).length > 0) cgroup.update(resources);
    return cgroup;
  } catch (error) {
    cgroup.remove();
    throw error;
  }
}

/** The cgroup `path` as it is: of a container that runs, or one left behind. What of it is missing is left out. */
export function openCgroup(path: string, layout: Layout = cgroupLayout()): Cgroup {
  return new Cgroup(normalPath(path), existingPlaces(path, layout), layout);
}

/** The cgroup whose directories were just made (`makeUsualPlaces`). */
export function bornCgroup(path: string, places: readonly Place[], layout: Layout = cgroupLayout()): Cgroup {
  return new Cgroup(normalPath(path), places, layout);
}

/** The names below `parent` in any hierarchy: containers' ids, those of dead ones too. */
export function listCgroups(parent = DEFAULT_PARENT, layout: Layout = cgroupLayout()): string[] {
  const names = new Set<string>();
  for (const { mountPoint } of layout.hierarchies) {
    for (const name of childNames(`${mountPoint}${normalPath(`/${parent}`)}`)) names.add(name);
  }
  return [...names];
}

/** The containers' cgroups below `parent` that none of `living` owns, for the collector, which `destroy`s them. */
export function orphanCgroups(
  living: ReadonlySet<string>,
  parent = DEFAULT_PARENT,
  layout: Layout = cgroupLayout(),
): Cgroup[] {
  return listCgroups(parent, layout)
    .filter((id) => !living.has(id))
    .map((id) => openCgroup(cgroupsPath(id, parent), layout));
}

/** One cgroup. It outlives this object: `remove` or `destroy` ends it. */
export class Cgroup {
  /** From the root of each hierarchy: `/ctr/<id>`. */
  readonly path: string;
  readonly #layout: Layout;
  #places: readonly Place[];

  constructor(path: string, places: readonly Place[], layout: Layout) {
    this.path = path;
    this.#places = places;
    this.#layout = layout;
  }

  /**
   * Its directories by the name under which a container expects them below /sys/fs/cgroup (`memory`, `cpu,cpuacct`);
   * the empty name is v2's only one.
   */
  get directories(): readonly { readonly name: string; readonly directory: string }[] {
    return this.#places.map(({ hierarchy, directory }) => ({
      name: this.#isV2 ? "" : hierarchy.mountPoint.slice(hierarchy.mountPoint.lastIndexOf("/") + 1),
      directory,
    }));
  }

  get places(): readonly Place[] {
    return this.#places;
  }

  /** The directory with this controller, if there is one. */
  directoryOf(controller: Controller["name"]): string | undefined {
    if (this.#isV2) return this.#places[0]?.directory;
    return this.#places.find(({ hierarchy }) => hierarchy.controllers.includes(controller))?.directory;
  }

  /** The way in for a process that is started now. */
  entrance(): Entrance {
    return entranceOf(this.#places);
  }

  /** Moves a process that runs already. Slower than `entrance`: up to some milliseconds for the first hierarchy. */
  addProcess(pid: number): void {
    for (const { directory } of this.#places) writeControl(directory, "cgroup.procs", pid, "move the process");
  }

  /** Applies limits; what is absent in `resources` stays as it is. Throws `unsupported` for what this machine lacks. */
  update(resources: Resources): void {
    const late = this.#isV2 ? [] : this.#makeMissing(resources);
    if (this.#isV2) enableControllers(this.#main.hierarchy.mountPoint, this.path, resources);
    for (const controller of this.#controllers()) {
      const directory = this.directoryOf(controller.name);
      if (directory !== undefined) controller.apply(directory, resources);
      else if (controller.isAsked(resources)) throw missingController(controller.name);
    }
    if (this.#isV2) {
      applyUnified(this.#main.directory, resources);
    } else if (Object.keys(resources.unified ?? {}).length > 0) {
      throw new CtrError("unsupported", "linux.resources.unified needs cgroup v2, and this machine has v1");
    }
    // Last, because a cpuset takes no process before it has CPUs.
    for (const { directory } of late) this.#moveInto(directory);
  }

  /** Every process inside and below. */
  pids(): number[] {
    return this.#places.length === 0 ? [] : treePids(this.#main.directory);
  }

  /** Stops every process. Throws `unavailable` if one cannot be stopped; then all run. */
  freeze(timeoutMs = FREEZE_TIMEOUT_MS): void {
    const directory = this.#freezerDirectory();
    if (directory === undefined) throw missingController("freezer");
    if (this.#isV2) v2Freezer.freeze(directory, timeoutMs);
    else v1Freezer.freeze(directory, timeoutMs);
  }

  /** Lets every process run again. */
  thaw(): void {
    const directory = this.#freezerDirectory();
    if (directory === undefined) return;
    if (this.#isV2) v2Freezer.thaw(directory);
    else v1Freezer.thaw(directory);
  }

  /**
   * Ends every process, frozen ones too, and returns when none is left. Throws `unavailable` if some still are after
   * `timeoutMs`.
   */
  killAll(timeoutMs = 5000): void {
    const deadline = Bun.nanoseconds() + timeoutMs * 1e6;
    for (let left = this.#everyone(); left.length > 0; left = this.#everyone()) {
      if (Bun.nanoseconds() > deadline) {
        throw stillThere(left);
      }
      this.#killOnce();
      this.#waitEmpty(Math.min(200, (deadline - Bun.nanoseconds()) / 1e6));
    }
  }

  /** Sends a signal to every process inside and below; SIGKILL reaches frozen ones too. */
  signalAll(signal: number): void {
    if (signal === SIGKILL) this.#killOnce();
    else signalAll(() => this.#everyone(), signal);
  }

  /** Sends SIGKILL to every process, frozen ones too, and does not wait for their ends. */
  kill(): void {
    this.#killOnce();
  }

  /** What was used so far. */
  stats(): Stats {
    const stats: Stats = {};
    for (const controller of this.#controllers()) {
      const directory = this.directoryOf(controller.name);
      if (directory !== undefined) controller.addStats?.(directory, stats);
    }
    return stats;
  }

  /** True if the kernel killed any of its processes for memory. */
  oomKilled(): boolean {
    const directory = this.directoryOf("memory");
    if (directory === undefined) return false;
    return (this.#isV2 ? v2OomKills(directory) : v1OomKills(directory)) > 0;
  }

  /**
   * Removes it, with what was made below it. A process that is just ending is waited for; throws `conflict` if one
   * lives on after `timeoutMs`. What is gone already is fine.
   */
  remove(timeoutMs = 2000): void {
    const deadline = Bun.nanoseconds() + timeoutMs * 1e6;
    const problems: unknown[] = [];
    for (const { directory } of this.#places) {
      try {
        removeDirectory(directory, deadline);
      } catch (error) {
        problems.push(error);
      }
    }
    if (problems.length > 0) throw withContext(`remove cgroup ${this.path}`, problems[0]);
  }

  /** Ends every process and removes it. */
  destroy(): void {
    if (this.#removeEmpty()) return;
    this.killAll();
    this.remove();
  }

  /**
   * As `destroy`, for a process that others wait for too: between its looks it leaves the thread, by `sleep`. Throws as
   * `killAll` and `remove` do, after `timeoutMs`.
   */
  async destroyWith(sleep: (ms: number) => Promise<void>, timeoutMs = 5000): Promise<void> {
    const deadline = Bun.nanoseconds() + timeoutMs * 1e6;
    // The end of a killed process is no event that a v1 cgroup tells.
    for (let waitMs = 1; !this.#removeEmpty(); waitMs = Math.min(2 * waitMs, LONGEST_LOOK_MS)) {
      const left = this.#everyone();
      const isLate = Bun.nanoseconds() > deadline;
      if (left.length > 0) {
        if (isLate) throw stillThere(left);
        this.#killOnce(FREEZE_TO_KILL_MS / 10);
      } else if (this.#tryRemoveTree(isLate)) {
        return;
      }
      await sleep(waitMs);
    }
  }

  /** True if nothing of it is left. Most often nobody is inside, and rmdir(2) is the quickest way to ask. */
  #removeEmpty(): boolean {
    this.#places = this.#everyPlace();
    return this.#places.filter(({ directory }) => !tryRemove(directory)).length === 0;
  }

  /** With what was made below it. False if somebody is still on the way out; `isLast` throws that. */
  #tryRemoveTree(isLast: boolean): boolean {
    try {
      this.remove(0);
      return true;
    } catch (error) {
      if (isLast || !(error instanceof CtrError) || error.kind !== "conflict") throw error;
      return false;
    }
  }

  /** v1: a limit that was given later may have made a directory that this object has not heard of. */
  #everyPlace(): readonly Place[] {
    if (this.#layout.mode === "v2") return this.#places;
    return this.#layout.hierarchies.map(
      (hierarchy) =>
        this.#places.find((place) => place.hierarchy === hierarchy) ?? {
          hierarchy,
          directory: `${hierarchy.mountPoint}${this.path}`,
        },
    );
  }

  /** A privileged container may have moved a process in one hierarchy and not in another. */
  #everyone(): readonly number[] {
    return [...new Set(this.#places.flatMap(({ directory }) => treePids(directory)))];
  }

  get #isV2(): boolean {
    return this.#places.length > 0 && this.#places.every(({ hierarchy }) => hierarchy.version === 2);
  }

  /** v1: directories in hierarchies that were not needed until now. */
  #makeMissing(resources: Resources): readonly Place[] {
    const late: Place[] = [];
    for (const hierarchy of this.#layout.hierarchies) {
      if (hierarchy.version === 2 || !isAskedOf(hierarchy, resources)) continue;
      if (this.#places.some((place) => place.hierarchy === hierarchy)) continue;
      makeDirectory(hierarchy.mountPoint, this.path);
      late.push({ hierarchy, directory: `${hierarchy.mountPoint}${this.path}` });
      this.#places = [...this.#places, ...late.slice(-1)];
    }
    return late;
  }

  /** Everybody, those too that are forked meanwhile. Throws `unavailable` if some process cannot be moved. */
  #moveInto(directory: string): void {
    let left = this.pids();
    for (let round = 0; left.length > 0; round++) {
      if (round === MOVE_ROUNDS)
        throw new CtrError("unavailable", `process ${left[0]} cannot be moved into ${directory}`);
      for (const pid of left) tryMove(directory, pid);
      const inside = new Set(treePids(directory));
      left = this.pids().filter((pid) => !inside.has(pid));
    }
  }

  /** The place that is asked for processes: the freezer's in v1, because killing needs both to agree. */
  get #main(): Place {
    const place = this.#places.find(({ hierarchy }) => hierarchy.controllers.includes("freezer")) ?? this.#places[0];
    if (place === undefined) throw new CtrError("not-found", `cgroup ${this.path} does not exist`);
    return place;
  }

  #controllers(): readonly Controller[] {
    return this.#isV2 ? [...V2_CONTROLLERS, ...V2_OTHERS] : V1_CONTROLLERS;
  }

  #freezerDirectory(): string | undefined {
    return this.directoryOf("freezer");
  }

  #killOnce(freezeMs = FREEZE_TO_KILL_MS): void {
    if (this.#isV2) {
      const { directory } = this.#main;
      // cgroup.kill, kernel 5.14; it reaches frozen processes and those being forked.
      if (exists(AT_FDCWD, `${directory}/cgroup.kill`)) {
        killWhole(directory);
        return;
      }
    }
    let isFrozen = false;
    try {
      // Frozen, nothing can fork away from the list.
      this.freeze(freezeMs);
      isFrozen = true;
    } catch (error) {
      // Without a freezer, or with a process that cannot be stopped, the caller's loop still gets them all in the end.
      if (!(error instanceof CtrError)) throw error;
    }
    try {
      signalAll(() => this.#everyone(), SIGKILL);
    } finally {
      if (isFrozen) this.thaw();
    }
  }

  #waitEmpty(timeoutMs: number): void {
    if (timeoutMs <= 0) return;
    if (this.#isV2) v2Freezer.waitForEvent(this.#main.directory, "populated", 0, timeoutMs);
    else waitForProcesses(this.#everyone(), timeoutMs);
  }
}

/** v1: the hierarchies every container needs, those its limits ask for, and the one by which systemd tracks our caller. */
function createV1(path: string, resources: Resources, layout: Layout): Cgroup {
  const made: Place[] = [];
  try {
    for (const hierarchy of layout.hierarchies) {
      if (!isUsual(hierarchy) && (isTracking(hierarchy) || !isAskedOf(hierarchy, resources))) continue;
      const directory = `${hierarchy.mountPoint}${path}`;
      makeDirectory(hierarchy.mountPoint, path);
      made.push({ hierarchy, directory });
    }
    return new Cgroup(path, made, layout);
  } catch (error) {
    new Cgroup(path, made, layout).remove();
    throw withContext(`make cgroup ${path}`, error);
  }
}

function isAskedOf(hierarchy: Hierarchy, resources: Resources): boolean {
  return V1_CONTROLLERS.some(
    (controller) => hierarchy.controllers.includes(controller.name) && controller.isAsked(resources),
  );
}

function createV2(path: string, layout: Layout): Cgroup {
  const hierarchy = v2Hierarchy(layout);
  try {
    makeDirectory(hierarchy.mountPoint, path);
  } catch (error) {
    throw withContext(`make cgroup ${path}`, error);
  }
  return new Cgroup(path, [{ hierarchy, directory: `${hierarchy.mountPoint}${path}` }], layout);
}

function stillThere(pids: readonly number[]): CtrError {
  return new CtrError("unavailable", `kill: ${pids.length} processes are still there (such as ${pids[0]})`);
}

function tryMove(directory: string, pid: number): void {
  try {
    writeControl(directory, "cgroup.procs", pid, "move the process");
  } catch (error) {
    // It has ended meanwhile.
    if (!(error instanceof CtrError) || !isErrno(error.cause, ESRCH)) throw error;
  }
}
