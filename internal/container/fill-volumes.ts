/** `create`: empty volumes take the image's content at once, so that others who mount them see it (`run` leaves it to init). */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { keepAtRest, openView } from "./copy-view.ts";
import type { ContainerRecord } from "./record.ts";
import { releaseContainer } from "./release.ts";
import { patchRuntime } from "./store.ts";

/**
 * Fills what is empty, in this process's own mount namespace. A container whose volumes cannot be mounted is removed again,
 * and the reason thrown.
 */
export async function fillVolumes(engine: Engine, record: ContainerRecord): Promise<void> {
  using claim = tryKeep(engine, record);
  if (claim === undefined) return;
  try {
    // Mounting them is what fills them.
    (await openView(engine, record.id, false))[Symbol.dispose]();
    // Once: whatever becomes of a volume now is not undone by the first start.
    const mounts = record.runtime.mounts.map(({ copiesUp: _, ...mount }) => mount);
    patchRuntime(engine, record.id, { mounts });
  } catch (error) {
    releaseContainer(engine, record, { volumes: true });
    throw error;
  }
}

/**
 * The same for a container with a user namespace, by its supervisor: there the image and the volumes have other owners than
 * on the disk, and init may not leave the mark of a copy that was cut off.
 */
export async function fillBeforeStart(engine: Engine, { id, runtime }: ContainerRecord): Promise<void> {
  if (runtime.startedAt !== undefined || !runtime.mounts.some(({ copiesUp }) => copiesUp === true)) return;
  (await openView(engine, id, false))[Symbol.dispose]();
}

/** Undefined when somebody has started or removed it already: then init fills the volumes, or nobody needs them. */
function tryKeep(engine: Engine, record: ContainerRecord): DisposableStack | undefined {
  try {
    return keepAtRest(engine, record);
  } catch (error) {
    if (error instanceof CtrError && (error.kind === "conflict" || error.kind === "not-found")) return undefined;
    throw error;
  }
}
