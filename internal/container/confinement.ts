/** What of a container's runtime-spec its supervisor holds it to: limits, and what further programs are confined by. */
import { DEFAULT_SECCOMP, profileSeccomp } from "../security/seccomp-annotation.ts";
import type { Linux, Spec } from "../spec/runtime.ts";
import { localMount } from "../volume/local-driver.ts";
import { specCgroupsPath } from "./cgroup-place.ts";
import type { ContainerRecord, HostConfig } from "./record.ts";
import { resourcesOf } from "./resources.ts";

/** What init is told beside the runtime-spec: annotations of the spec, which no other tool's bundle has. */
export const ANNOTATIONS = {
  /** "true": the reaper of `--init` is PID 1. */
  init: "ctr.init",
  /** Names and numbers of `--group-add`, separated by commas. */
  groupAdd: "ctr.group-add",
  /** "true": a volume is a block device, so the list of devices holds only once init has mounted it. */
  devicesWhenReady: "ctr.devices-when-ready",
} as const;

/** What of the runtime-spec a supervisor enforces itself, or on further programs: the same at every start of the record. */
export type Confinement = Pick<Spec, "annotations"> & { readonly linux: Pick<Linux, "cgroupsPath" | "resources"> };

/** The part of `runtimeSpec` that needs nothing made. */
export function confinementOf(record: ContainerRecord): Confinement {
  const linux = { cgroupsPath: specCgroupsPath(record), resources: resourcesOf(record.hostConfig) };
  return { annotations: annotationsOf(record), linux };
}

/** What the spec has no field for, and what its makers are told. */
export function annotationsOf(record: ContainerRecord): { readonly [name: string]: string } {
  const { hostConfig, config } = record;
  const groupAdd = hostConfig.GroupAdd ?? [];
  return {
    ...hostConfig.Annotations,
    ...seccompOf(hostConfig),
    ...(mountsDevice(record) ? { [ANNOTATIONS.devicesWhenReady]: "true" } : {}),
    ...(hostConfig.Init === true ? { [ANNOTATIONS.init]: "true" } : {}),
    ...(groupAdd.length === 0 ? {} : { [ANNOTATIONS.groupAdd]: groupAdd.join(",") }),
    ...(config.StopSignal === undefined ? {} : { "org.opencontainers.image.stopSignal": config.StopSignal }),
  };
}

/** True if a volume is what its driver's options call a device, and not a directory. */
function mountsDevice({ runtime }: ContainerRecord): boolean {
  return runtime.mounts.some(({ options }) => {
    if (options === undefined) return false;
    const { type, source } = localMount(options);
    return type !== "bind" && source.startsWith("/");
  });
}

/** True if its programs have the default filter, with nothing that a further capability opens in it. */
export function hasDefaultFilter({ hostConfig }: ContainerRecord): boolean {
  return (hostConfig.CapAdd ?? []).length === 0 && !hostConfig.Privileged && seccompOf(hostConfig) === DEFAULT_SECCOMP;
}

/**
 * The last word counts. What the user asks for is applied to privileged containers too (moby daemon/seccomp_linux.go);
 * `builtin` as well, which Docker cannot.
 */
export function seccompOf({ Privileged, SecurityOpt }: HostConfig): { readonly [name: string]: string } {
  const profile = SecurityOpt?.findLast((option) => option.startsWith("seccomp="))?.slice("seccomp=".length);
  if (profile?.startsWith("{") === true) return profileSeccomp(profile);
  if (profile === "builtin") return DEFAULT_SECCOMP;
  return Privileged || profile === "unconfined" ? {} : DEFAULT_SECCOMP;
}
