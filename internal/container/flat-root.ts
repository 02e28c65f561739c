/** The root file system of a container whose storage driver keeps whole trees (vfs, btrfs). Loaded only for those. */
import type { Engine } from "../db/engine.ts";
import { withContext } from "../errors/error.ts";
import { isFlat } from "../snapshot/flat.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { placeholderLayer } from "../snapshot/placeholders.ts";
import { snapshotterOf } from "../snapshot/snapshotter.ts";
import { makeWritableSnapshot, type WritableSnapshot, writableSnapshot } from "../snapshot/writable.ts";
import { flock, LOCK_EX, O_DIRECTORY, O_RDONLY, open } from "../sys/fd.ts";
import { mkdirAll } from "../sys/file.ts";
import type { ContainerRecord } from "./record.ts";

/** What a container of any driver writes on, made when missing: it never ran, then. */
export function anySnapshot(engine: Engine, record: ContainerRecord): WritableSnapshot {
  if (record.driver === undefined)
    return makeWritableSnapshot(engine.root, record.id, lowerDirectories(engine, record.layers));
  makeFlatRoot(engine, record);
  return writableSnapshot(engine.root, record.id);
}

/** Makes it when missing; the start's `runtimeSpec` then finds it. */
export function makeFlatRoot(engine: Engine, { id, name, driver, layers }: ContainerRecord): void {
  if (driver === undefined || isFlat(writableSnapshot(engine.root, id).upper)) return;
  const directory = `${engine.root}/containers/${id}`;
  mkdirAll(directory, 0o710);
  // A start, a commit and a look at the files may all come first; whoever waited finds it made.
  using held = open(directory, O_RDONLY | O_DIRECTORY);
  flock(held.number, LOCK_EX);
  if (isFlat(writableSnapshot(engine.root, id).upper)) return;
  try {
    snapshotterOf(driver).makeRoot(directory, lowerDirectories(engine, layers)[0], placeholderLayer(engine.root));
  } catch (error) {
    throw withContext(`make the root file system of ${name}`, error);
  }
}
