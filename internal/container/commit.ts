/** `commit` of a container: what the image store needs of it, and holding it still meanwhile. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { type CommitOptions, commitContainer } from "../image/commit.ts";
import { recordImageEvent } from "../image/event.ts";
import { familiarReference, parseReference, parseTarget } from "../image/reference.ts";
import { currentContainer, pauseContainer, unpauseContainer } from "./control.ts";
import { recordContainerEvent } from "./event.ts";
import { anySnapshot } from "./flat-root.ts";

export type ContainerCommit = Pick<CommitOptions, "reference" | "author" | "message" | "changes"> & {
  /** A running container is frozen while its files are read. */
  readonly pause: boolean;
};

/** Makes an image of a container's changes and returns its id. */
export async function commit(engine: Engine, nameOrId: string, options: ContainerCommit): Promise<string> {
  const record = currentContainer(engine, nameOrId);
  if (record.state === "removing" || record.state === "dead") {
    throw new CtrError(
      "conflict",
      `You cannot commit container ${record.id} which is ${record.state === "dead" ? "Dead" : "being removed"}`,
    );
  }
  const { pause, ...rest } = options;
  // One that never ran has none yet.
  const { upper } = anySnapshot(engine, record);
  return await commitContainer(engine, {
    ...rest,
    imageId: record.imageId,
    layers: record.layers,
    config: record.config,
    upper,
    onPublish: (id) => {
      const name =
        options.reference === undefined ? undefined : familiarReference(parseReference(parseTarget(options.reference)));
      if (name !== undefined) recordImageEvent(engine, "tag", id, name);
      const ref = name === undefined ? {} : { imageRef: name };
      recordContainerEvent(engine, record, "commit", { comment: options.message ?? "", imageID: id, ...ref });
    },
    paused: (work) => (pause && record.state === "running" ? heldStill(engine, record.id, work) : work()),
  });
}

/** Freezes the container around `work`. One that ended by itself meanwhile is as still as can be. */
async function heldStill<T>(engine: Engine, id: string, work: () => Promise<T>): Promise<T> {
  if (!(await isFrozen(engine, id))) return await work();
  try {
    return await work();
  } finally {
    // Killed or removed while frozen: then there is nothing to let go.
    if (currentContainer(engine, id).state === "paused") await unpauseContainer(engine, id);
  }
}

async function isFrozen(engine: Engine, id: string): Promise<boolean> {
  try {
    await pauseContainer(engine, id);
    return true;
  } catch (error) {
    if (currentContainer(engine, id).state !== "running") return false;
    throw error;
  }
}
