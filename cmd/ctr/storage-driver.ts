/** `--storage-driver`: what a person asked for is checked and recorded before the command does anything. */
import { openEngine } from "../../internal/db/engine.ts";
import { chooseSnapshotter } from "../../internal/snapshot/choose-driver.ts";
import type { Directories } from "./command.ts";

/** Makes it the store's driver. Throws when there is no such driver, it does not work here, or the store has another. */
export function useStorageDriver(directories: Directories): void {
  using engine = openEngine(directories);
  chooseSnapshotter(engine);
}
