/** Security labels of a container: its AppArmor profile, its SELinux labels. Which module there is, the host decides. */
import { CtrError } from "../errors/error.ts";
import {
  DEFAULT_PROFILE,
  hasAppArmor,
  hasDefaultProfile,
  loadDefaultProfile,
  UNCONFINED,
} from "../security/apparmor.ts";
import { containerContexts, hasSelinux, type SelinuxLabels, selinuxLabels } from "../security/selinux.ts";
import type { ContainerRecord, HostConfig } from "./record.ts";

/** What follows `key=` in the security options, in order. */
function values({ SecurityOpt }: HostConfig, key: string): readonly string[] {
  const start = `${key}=`;
  return (SecurityOpt ?? []).filter((option) => option.startsWith(start)).map((option) => option.slice(start.length));
}

/** The profile of its processes; undefined where there is no AppArmor. Throws where a profile was asked for all the same. */
export function apparmorProfile(config: HostConfig): string | undefined {
  const wanted = values(config, "apparmor").at(-1);
  if (!hasAppArmor()) {
    if (wanted === undefined || wanted === UNCONFINED) return undefined;
    throw new CtrError("unsupported", `apparmor profile ${wanted}: this host has no AppArmor`);
  }
  if (wanted !== undefined) return wanted;
  if (config.Privileged) return UNCONFINED;
  return hasDefaultProfile() ? DEFAULT_PROFILE : undefined;
}

/** Its labels; undefined where there is no SELinux, or it is off for this container. Throws where a label was asked for. */
export function containerLabels({
  id,
  hostConfig,
}: Pick<ContainerRecord, "id" | "hostConfig">): SelinuxLabels | undefined {
  const options = values(hostConfig, "label");
  const contexts = hasSelinux() ? containerContexts() : undefined;
  if (contexts === undefined) {
    const asked = options.find((option) => option !== "disable");
    if (asked === undefined || options.includes("disable")) return undefined;
    const why = hasSelinux()
      ? "the host's policy has no labels for containers (container-selinux)"
      : "this host has no SELinux";
    throw new CtrError("unsupported", `security option label=${asked}: ${why}`);
  }
  const isOpen = hostConfig.Privileged || hostConfig.PidMode === "host" || hostConfig.IpcMode === "host";
  return options.length === 0 && isOpen ? undefined : selinuxLabels(options, contexts, id);
}

/** Has what a start needs loaded: the default profile, once per boot. Throws when it cannot be. */
export async function prepareLabels({ hostConfig }: ContainerRecord): Promise<void> {
  if (apparmorProfile(hostConfig) === DEFAULT_PROFILE) await loadDefaultProfile();
}
