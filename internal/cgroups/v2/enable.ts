/** What is written into a v2 cgroup besides its controllers' files. */
import { CtrError, EBUSY, ENODEV, ENOENT, isErrno } from "../../errors/error.ts";
import type { Resources } from "../../spec/runtime.ts";
import { missingController, V2_CONTROLLERS } from "../controllers.ts";
import { readControl, writeControl } from "../file.ts";

/** In every directory from the root down to the parent, because a controller goes down one level at a time. */
export function enableControllers(mountPoint: string, path: string, resources: Resources): void {
  const wanted = V2_CONTROLLERS.filter((controller) => controller.isAlwaysMade || controller.isAsked(resources));
  const has = (directory: string) => new Set(readControl(directory, "cgroup.controllers").trim().split(" "));
  const reached = has(`${mountPoint}${path}`);
  if (wanted.every(({ name }) => reached.has(name))) return;

  const offered = has(mountPoint);
  const lacking = wanted.find((controller) => !offered.has(controller.name) && controller.isAsked(resources));
  if (lacking !== undefined) throw missingController(lacking.name);
  const names = wanted.map(({ name }) => name).filter((name) => offered.has(name));
  let directory = mountPoint;
  for (const part of path.split("/").slice(1)) {
    const enabled = new Set(readControl(directory, "cgroup.subtree_control").trim().split(" "));
    for (const name of names) {
      if (!enabled.has(name)) enableController(directory, name);
    }
    directory = `${directory}/${part}`;
  }
}

function enableController(directory: string, name: string): void {
  try {
    writeControl(directory, "cgroup.subtree_control", `+${name}`, "enable controller");
  } catch (error) {
    if (!(error instanceof CtrError) || !isErrno(error.cause, EBUSY)) throw error;
    // cgroups(7), "no internal processes"
    const message = `enable controller ${name}: ${directory} holds processes itself; move them into a cgroup below it`;
    throw new CtrError("conflict", message, { cause: error });
  }
}

/** runtime-spec config-linux.md#unified: file names of v2 and what is written into them. */
export function applyUnified(directory: string, { unified = {} }: Resources): void {
  for (const [file, value] of Object.entries(unified)) {
    if (file.includes("/") || !file.includes(".")) throw new CtrError("invalid", `${file} is no cgroup file`);
    for (const line of value.split("\n")) writeControl(directory, file, line, file);
  }
}

/** cgroup.kill; nobody is in a cgroup that systemd has removed meanwhile. */
export function killWhole(directory: string): void {
  try {
    writeControl(directory, "cgroup.kill", 1, "kill");
  } catch (error) {
    if (!(error instanceof CtrError) || !isErrno(error.cause, ENOENT, ENODEV)) throw error;
  }
}
