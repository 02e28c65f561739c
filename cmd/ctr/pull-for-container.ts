/** The pull that `run` and `create` do first: as `ctr pull`, but it is told on standard error. */
import type { Engine } from "../../internal/db/engine.ts";
import { pullImages } from "../../internal/image/pull.ts";
import { loadRegistrySettings } from "../../internal/registry/settings.ts";
import type { PullFlags } from "./create-pulling.ts";
import { STDERR } from "./output.ts";
import { openProgress, progressMode } from "./progress.ts";

/** Pulls an image; standard output stays the container's. */
export async function pullForContainer(engine: Engine, image: string, flags: PullFlags): Promise<void> {
  using progress = openProgress(progressMode({ progress: "auto", quiet: flags.quiet }, STDERR), STDERR);
  await pullImages(engine, {
    reference: image,
    platform: flags.platform,
    settings: loadRegistrySettings(process.env),
    onEvent: (event) => progress.event(event),
  });
}
