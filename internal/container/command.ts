/** What a container runs. */
import type { ContainerConfig } from "./record.ts";

/** The entrypoint, then its arguments: the first word is the program. */
export function commandOf(config: Pick<ContainerConfig, "Entrypoint" | "Cmd">): readonly string[] {
  return [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
}
