/**
 * Finding the storage driver of a store: what was asked for on the command line or in the
 * configuration, what is recorded, what works here. In this order.
 */
import { transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { loadEngineConfig } from "../db/engine-config.ts";
import {
  parseStorageDriver,
  recordDriver,
  recordedDriver,
  refuseIfInUse,
  type StorageDriver,
} from "../db/storage-driver.ts";
import { CtrError } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { mkdirAll, mkdirat, removeTree } from "../sys/file.ts";
import { type Snapshotter, snapshotterOf } from "./snapshotter.ts";

/** What is tried where nobody has said anything: the fast ones first, and the one that always works last. */
const CANDIDATES: readonly StorageDriver[] = ["overlay", "btrfs", "vfs"];

/**
 * The driver of the store, recorded if it was not. Throws `conflict` when another one was asked for than what is in the
 * store, and `unsupported` when what was asked for does not work here.
 */
export function chooseSnapshotter(engine: Engine): Snapshotter {
  const name = engine.storageDriver ?? loadEngineConfig({ CTR_CONFIG: engine.config }).storageDriver;
  const wanted = name === undefined ? undefined : parseStorageDriver(name);
  const recorded = recordedDriver(engine);
  if (recorded !== undefined && (wanted === undefined || wanted === recorded)) return snapshotterOf(recorded);
  const driver = wanted ?? detect(engine);
  refuseIfInUse(engine, driver);
  if (wanted !== undefined) inScratch(engine, (scratch) => snapshotterOf(wanted).check(scratch));
  transaction(engine.db, () => recordDriver(engine, driver));
  return snapshotterOf(driver);
}

function detect(engine: Engine): StorageDriver {
  return inScratch(engine, (scratch) => {
    for (const candidate of CANDIDATES) {
      try {
        snapshotterOf(candidate).check(scratch);
        return candidate;
      } catch (error) {
        if (!(error instanceof CtrError) || error.kind !== "unsupported") throw error;
      }
    }
    return "vfs";
  });
}

/** Runs `action` with an empty directory on the store's file system. */
function inScratch<T>(engine: Engine, action: (scratch: string) => T): T {
  mkdirAll(`${engine.root}/ingest`, 0o700);
  // A workspace in all but its lock: whoever collects it meanwhile makes this fail, not lie.
  const scratch = `${engine.root}/ingest/${crypto.getRandomValues(new Uint8Array(16)).toHex()}`;
  mkdirat(AT_FDCWD, scratch, 0o700);
  try {
    return action(scratch);
  } finally {
    removeTree(AT_FDCWD, scratch);
  }
}
