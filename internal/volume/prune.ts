/** `volume prune`: the volumes that no container has. */
import type { Engine } from "../db/engine.ts";
import { recordEvent } from "../db/events.ts";
import { CtrError } from "../errors/error.ts";
import { ANONYMOUS_LABEL } from "./mount-point.ts";
import { finishVolumeRemovals, removeVolumeNamed, type Volume } from "./store.ts";
import { volumeUsages } from "./usage.ts";

export interface VolumePrune {
  /** Also those with a name. */
  readonly all: boolean;
  /** False spares a volume. */
  accepts(volume: Volume): boolean;
}

export interface PrunedVolumes {
  readonly names: readonly string[];
  /** Bytes of their files. */
  readonly reclaimed: number;
}

/** Made for a container's mount, or by `volume create`, without a name. */
function isUnnamed({ labels }: Volume): boolean {
  return Object.hasOwn(labels, ANONYMOUS_LABEL);
}

/** Removes the volumes that no container has and that `accepts` lets go. */
export function pruneVolumes(engine: Engine, { all, accepts }: VolumePrune): PrunedVolumes {
  // What others were about to remove when they were killed.
  finishVolumeRemovals(engine);
  const names: string[] = [];
  let reclaimed = 0;
  for (const { volume, size, links } of volumeUsages(engine)) {
    if (links > 0 || !(all || isUnnamed(volume)) || !accepts(volume)) continue;
    try {
      removeVolumeNamed(engine, volume.name, true);
    } catch (error) {
      // A container has come to use it meanwhile: then it is not unused.
      if (error instanceof CtrError && error.kind === "conflict") continue;
      throw error;
    }
    names.push(volume.name);
    reclaimed += size;
  }
  recordEvent(engine, { type: "volume", action: "prune", id: "", attributes: { reclaimed: String(reclaimed) } });
  return { names, reclaimed };
}
