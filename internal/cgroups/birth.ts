/**
 * The first half of a cgroup's life: its directories, and the way in. On the path of every start, before anything else is
 * loaded: what limits a cgroup, measures and ends it is in cgroup.ts.
 */
import { CtrError, withContext } from "../errors/error.ts";
import { AT_FDCWD, type Fd, O_DIRECTORY, O_PATH, O_WRONLY, open } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import { makeDirectory, normalPath, tryRemove } from "./directories.ts";
import { type ControllerName, cgroupLayout, type Hierarchy, type Layout } from "./layout.ts";

/** Docker has "docker"; below it one directory for each container. */
export const DEFAULT_PARENT = "ctr";

/** A directory of the cgroup in one hierarchy. */
export interface Place {
  readonly hierarchy: Hierarchy;
  readonly directory: string;
}

/** What `spawnRole` and its like need to start a process inside; the descriptors live until it is disposed. */
export interface Entrance extends Disposable {
  /** v1: `tasks` files for `SpawnOptions.taskFds`. */
  readonly taskFds: readonly number[];
  /** v2: the directory for `SpawnOptions.cgroupFd`. */
  readonly cgroupFd?: number;
}

/** Where a container's cgroup lies in each hierarchy: what goes into `linux.cgroupsPath`. No parent is the default one. */
export function cgroupsPath(id: string, parent = ""): string {
  return normalPath(`/${parent === "" ? DEFAULT_PARENT : parent}/${id}`);
}

/**
 * The hierarchies of v1 in which every container has a directory, by their controllers. cgroup.ts compares it with its
 * table of controllers.
 */
export const ALWAYS_MADE: readonly ControllerName[] = [
  "memory",
  "cpu",
  "cpuacct",
  "blkio",
  "pids",
  "devices",
  "freezer",
];

/** By these systemd tracks services and sessions. */
export function isTracking({ version, controllers }: Hierarchy): boolean {
  return version === 2 || controllers.includes("name=systemd");
}

/** True if every container has a directory there, whatever its limits. */
export function isUsual(hierarchy: Hierarchy): boolean {
  // Where it is tracked, the container would end with the service that `ctr` was called from.
  if (isTracking(hierarchy)) return hierarchy.own !== undefined && hierarchy.own !== "/";
  return hierarchy.controllers.some((name) => (ALWAYS_MADE as readonly string[]).includes(name));
}

/** Makes the usual directories of a new cgroup, without limits; nothing is left if that fails. */
export function makeUsualPlaces(path: string, layout: Layout = cgroupLayout()): readonly Place[] {
  const normal = normalPath(path);
  const wanted = layout.mode === "v2" ? [v2Hierarchy(layout)] : layout.hierarchies.filter(isUsual);
  const made: Place[] = [];
  try {
    for (const hierarchy of wanted) {
      makeDirectory(hierarchy.mountPoint, normal);
      made.push({ hierarchy, directory: `${hierarchy.mountPoint}${normal}` });
    }
    return made;
  } catch (error) {
    removePlaces(made);
    throw withContext(`make cgroup ${path}`, error);
  }
}

/** The directories of a cgroup that was made; what of it is missing is left out. */
export function existingPlaces(path: string, layout: Layout = cgroupLayout()): readonly Place[] {
  const normal = normalPath(path);
  return layout.hierarchies
    .map((hierarchy) => ({ hierarchy, directory: `${hierarchy.mountPoint}${normal}` }))
    .filter(({ directory }) => exists(AT_FDCWD, directory));
}

export function v2Hierarchy(layout: Layout): Hierarchy {
  const hierarchy = layout.hierarchies.find(({ version }) => version === 2);
  if (hierarchy === undefined) throw new CtrError("unsupported", "no cgroup v2 hierarchy is mounted");
  return hierarchy;
}

/** Takes back what nobody is in yet. */
export function removePlaces(places: readonly Place[]): void {
  for (const { directory } of places) tryRemove(directory);
}

/** Removes a cgroup that nobody is in, in every hierarchy; false if something of it is left. rmdir(2) is the quickest way to ask. */
export function removeUnused(path: string, layout: Layout = cgroupLayout()): boolean {
  const normal = normalPath(path);
  return layout.hierarchies.filter(({ mountPoint }) => !tryRemove(`${mountPoint}${normal}`)).length === 0;
}

/** What of a place must be known to enter it. */
export interface EntrancePlace {
  readonly hierarchy: Pick<Hierarchy, "version">;
  readonly directory: string;
}

/** The way in for a process that is started now. */
export function entranceOf(places: readonly EntrancePlace[]): Entrance {
  const opened: Fd[] = [];
  const dispose = () => {
    for (const fd of opened) fd.close();
  };
  try {
    const taskFds: number[] = [];
    let cgroupFd: number | undefined;
    for (const { hierarchy, directory } of places) {
      const isV2 = hierarchy.version === 2;
      const fd = isV2 ? open(directory, O_PATH | O_DIRECTORY) : open(`${directory}/tasks`, O_WRONLY);
      opened.push(fd);
      if (isV2) cgroupFd = fd.number;
      else taskFds.push(fd.number);
    }
    return { taskFds, ...(cgroupFd === undefined ? {} : { cgroupFd }), [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** The places further below: `path` from the cgroup, in the hierarchy with this controller, or without one in all. */
export function placesBelow(places: readonly Place[], path: string, controller?: string): readonly Place[] {
  const below = normalPath(`/${path}`);
  const isMeant = ({ hierarchy }: Place) => controller === undefined || hierarchy.controllers.includes(controller);
  if (!places.some(isMeant))
    throw new CtrError("unsupported", `no hierarchy of the cgroup has a controller ${controller}`);
  return places.map((place) => (isMeant(place) ? { ...place, directory: `${place.directory}${below}` } : place));
}
