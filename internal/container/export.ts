/** `export`: a container's whole file system as one tar, without what is mounted into it. */
import { writeTar } from "../archive/tar-writer.ts";
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { mergedTree } from "../snapshot/merged.ts";
import { placeholderLayer } from "../snapshot/placeholders.ts";
import { writableSnapshot } from "../snapshot/writable.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import { currentContainer } from "./control.ts";
import { recordContainerEvent } from "./event.ts";
import { anySnapshot } from "./flat-root.ts";
import type { ContainerRecord } from "./record.ts";

/** The archive as a stream; the container may run, or never have run. Throws `not-found`, `conflict`. */
export function exportContainer(engine: Engine, nameOrId: string): AsyncIterable<Uint8Array> {
  const record = currentContainer(engine, nameOrId);
  if (record.state === "dead" || record.state === "removing") {
    const what = record.state === "dead" ? "dead" : "being removed";
    throw new CtrError("conflict", `You cannot export container ${record.id} which is ${what}`);
  }
  const layers = layersOf(engine, record);
  recordContainerEvent(engine, record, "export");
  return writeTar(mergedTree(layers));
}

/** The directories that make its tree together, topmost first. */
function layersOf(engine: Engine, record: ContainerRecord): readonly string[] {
  // Drivers without layers keep a whole tree for each container.
  if (record.driver !== undefined) return [anySnapshot(engine, record).upper];
  const { upper } = writableSnapshot(engine.root, record.id);
  const written = exists(AT_FDCWD, upper) ? [upper] : [];
  return [...written, ...lowerDirectories(engine, record.layers), placeholderLayer(engine.root)];
}
