/** From the flags of `run` and `create` to what a container is to be made from. */
import type { GivenSecrets } from "../../internal/container/secrets.ts";
import { type ContainerFlags, type FlagSpec, specFromFlags } from "../../internal/container/spec-from-flags.ts";
import { CONTAINER_FLAGS } from "./container-flags.ts";
import { asUsageError } from "./option-errors.ts";

/** The flags, read. Throws UsageError for a value a flag cannot have; `command` is `run` or `create`. */
export function readContainerFlags(flags: ContainerFlags, command: string, isDetached: boolean): FlagSpec {
  return asUsageError(command, CONTAINER_FLAGS, () =>
    specFromFlags(flags, { variables: process.env, directory: process.cwd(), isDetached }),
  );
}

/** What `--secret` names, loaded where there is one. Throws as `readContainerFlags`. */
export async function readSecrets(flags: readonly string[], command: string): Promise<GivenSecrets | undefined> {
  if (flags.length === 0) return undefined;
  const { givenSecrets } = await import("../../internal/container/secrets.ts");
  return asUsageError(command, CONTAINER_FLAGS, () =>
    givenSecrets(flags, { variables: process.env, directory: process.cwd() }),
  );
}
