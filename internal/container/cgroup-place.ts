/** Where a container's cgroup is, and who makes it: this engine, or systemd for it. */
import { cgroupsPath } from "../cgroups/birth.ts";
import { cgroupLayout } from "../cgroups/layout.ts";
import { checkSlice, type ScopePlace, scopePath, scopePlace, systemdCgroupsPath } from "../cgroups/systemd/place.ts";
import { loadEngineConfig } from "../db/engine-config.ts";
import { CtrError } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import type { ContainerRecord, HostConfig } from "./record.ts";

/** As a container's configuration records it. */
export type CgroupPlace = Pick<HostConfig, "CgroupParent" | "CgroupDriver">;

type Placed = Pick<ContainerRecord, "id"> & { readonly hostConfig: CgroupPlace };

/** Its path from the root of each hierarchy, whether or not it exists. */
export function cgroupPathOf({ id, hostConfig }: Placed): string {
  const place = scopeOf({ id, hostConfig });
  return place === undefined ? cgroupsPath(id, hostConfig.CgroupParent) : scopePath(place);
}

/** The runtime-spec's `linux.cgroupsPath`: a path, or systemd's `slice:prefix:name`. */
export function specCgroupsPath({ id, hostConfig: { CgroupParent, CgroupDriver } }: Placed): string {
  return CgroupDriver === "systemd" ? systemdCgroupsPath(id, CgroupParent) : cgroupsPath(id, CgroupParent);
}

/** Its scope, if systemd makes it. */
export function scopeOf({ id, hostConfig: { CgroupParent, CgroupDriver } }: Placed): ScopePlace | undefined {
  return CgroupDriver === "systemd" ? scopePlace(id, CgroupParent) : undefined;
}

/** systemd's own socket, which is there where it is the machine's init (sd_booted(3) looks at the same directory). */
const SYSTEMD = "/run/systemd/private";

type Variables = { readonly [name: string]: string | undefined };

/**
 * The place of a new container: below the flag's parent, else CTR_CGROUP_PARENT, else the engine's configuration; made by
 * CTR_CGROUP_DRIVER, else by the configuration's. Throws `invalid` for a driver that is none, and for a parent that is no
 * slice.
 */
export function newCgroupPlace(flag: string | undefined, variables: Variables): CgroupPlace {
  const settings = loadEngineConfig(variables);
  const parent = given(flag) ?? variables["CTR_CGROUP_PARENT"] ?? settings.cgroupParent ?? "";
  if (!usesSystemd(given(variables["CTR_CGROUP_DRIVER"]) ?? settings.cgroupDriver)) return { CgroupParent: parent };
  if (parent !== "") checkSlice(parent);
  return { CgroupParent: parent, CgroupDriver: "systemd" };
}

function given(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

/** Docker's name of the driver for new containers. */
export function cgroupDriver(variables: Variables): "cgroupfs" | "systemd" {
  const driver = given(variables["CTR_CGROUP_DRIVER"]) ?? loadEngineConfig(variables).cgroupDriver;
  return usesSystemd(driver) ? "systemd" : "cgroupfs";
}

/** `auto` takes systemd on cgroup v2 where it is the machine's init. */
function usesSystemd(driver: string | undefined): boolean {
  switch (driver) {
    case undefined:
    case "cgroupfs":
      return false;
    case "systemd":
      return true;
    case "auto":
      return cgroupLayout().mode === "v2" && exists(AT_FDCWD, SYSTEMD);
    default:
      throw new CtrError("invalid", `CTR_CGROUP_DRIVER=${driver}: must be cgroupfs, systemd or auto`);
  }
}
