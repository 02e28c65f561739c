/** Where systemd puts a container: a scope in a slice (systemd.slice(5), systemd.scope(5)). Names only: loaded by everybody. */
import { CtrError } from "../../errors/error.ts";

/** Docker has system.slice; a container's own unit is `ctr-<id>.scope`. */
const DEFAULT_SLICE = "system.slice";
const PREFIX = "ctr";

/** A container's place in systemd's tree. */
export interface ScopePlace {
  readonly slice: string;
  /** `ctr-<id>.scope` */
  readonly unit: string;
}

/** The place of a container below a slice; none is the default one. Throws `invalid`, in Docker's words. */
export function scopePlace(id: string, parent: string): ScopePlace {
  return { slice: parent === "" ? DEFAULT_SLICE : checkSlice(parent), unit: `${PREFIX}-${id}.scope` };
}

/** Throws `invalid`, in Docker's words, for what is no slice's name. */
export function checkSlice(name: string): string {
  const isSlice = /^[A-Za-z0-9:_.\\@-]{1,240}\.slice$/.test(name) && !/^-.|--|-\.slice$/.test(name);
  if (isSlice || name === "-.slice") return name;
  throw new CtrError("invalid", 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
}

/** Its cgroup from the root of the hierarchy: `a-b.slice` lies in `a.slice` (systemd.slice(5)). */
export function scopePath({ slice, unit }: ScopePlace): string {
  const name = slice.slice(0, -".slice".length);
  const parts = name === "-" ? [] : name.split("-");
  const slices = parts.map((_, at) => `/${parts.slice(0, at + 1).join("-")}.slice`);
  return `${slices.join("")}/${unit}`;
}

/** The place as OCI runtimes take it in `linux.cgroupsPath` with the systemd driver: `slice:prefix:name`. */
export function systemdCgroupsPath(id: string, parent: string): string {
  return `${scopePlace(id, parent).slice}:${PREFIX}:${id}`;
}

/** The place that a `linux.cgroupsPath` names; undefined where it is a path. */
export function parseSystemdPath(path: string): ScopePlace | undefined {
  const [slice, prefix, name, ...more] = path.split(":");
  if (path.startsWith("/") || prefix === undefined || name === undefined || more.length > 0) return undefined;
  return {
    slice: checkSlice(slice === "" || slice === undefined ? DEFAULT_SLICE : slice),
    unit: `${prefix}-${name}.scope`,
  };
}
