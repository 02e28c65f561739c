/** Where a container's cgroup is, and who makes it: this engine, or systemd for it. */
import { cgroupsPath } from "../cgroups/cgroup.ts";
import { cgroupLayout } from "../cgroups/layout.ts";
import { checkSlice, type ScopePlace, scopePath, scopePlace, systemdCgroupsPath } from "../cgroups/systemd/place.ts";
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

/**
 * The place of a new container below `parent`. `driver` is the environment's CTR_CGROUP_DRIVER: `cgroupfs`, `systemd`, or
 * `auto`, which takes systemd on cgroup v2 where it runs. Throws `invalid` for another word, and for a parent that is no
 * slice.
 */
export function newCgroupPlace(parent: string, driver: string | undefined): CgroupPlace {
  if (!usesSystemd(driver)) return { CgroupParent: parent };
  if (parent !== "") checkSlice(parent);
  return { CgroupParent: parent, CgroupDriver: "systemd" };
}

/** True if the driver that was asked for is systemd on this machine. Throws `invalid` for a word that is none. */
export function usesSystemd(driver: string | undefined): boolean {
  switch (driver) {
    case undefined:
    case "":
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
