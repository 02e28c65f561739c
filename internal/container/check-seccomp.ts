/** Whether the user's own seccomp profile can be enforced: asked before anything is made, where the user is. */
import { seccompFilter } from "../security/seccomp.ts";
import { seccompOf } from "./confinement.ts";
import type { HostConfig } from "./record.ts";
import { containerCapabilities } from "./spec-process.ts";

/** Throws `invalid` or `unsupported` for a profile that does not parse or cannot be enforced. */
export async function checkSeccomp(hostConfig: HostConfig): Promise<void> {
  const process = { user: { uid: 0, gid: 0 }, args: [], cwd: "/", capabilities: containerCapabilities(hostConfig) };
  await seccompFilter({ annotations: seccompOf(hostConfig), process });
}
