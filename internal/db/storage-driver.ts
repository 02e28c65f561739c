/** Which storage driver a store has. The choice is recorded with the first layer, and stays while there is anything. */
import { CtrError } from "../errors/error.ts";
import type { Engine } from "./engine.ts";

export type StorageDriver = "overlay" | "vfs" | "btrfs";

/** The driver of the name, as Docker spells it too. Throws `invalid` for another. */
export function parseStorageDriver(name: string): StorageDriver {
  switch (name) {
    case "overlay":
    case "overlay2":
      return "overlay";
    case "vfs":
    case "btrfs":
      return name;
    default:
      throw new CtrError("invalid", `unknown storage driver ${JSON.stringify(name)}: there are overlay, vfs and btrfs`);
  }
}

/** As `info` and `inspect` show it. */
export function shownDriver(driver: StorageDriver): string {
  return driver === "overlay" ? "overlay2" : driver;
}

/** The driver that is recorded; undefined for a store that has none yet. */
export function recordedDriver(engine: Engine): StorageDriver | undefined {
  const row = engine.db.query<{ driver: string }, []>("SELECT driver FROM storage").get();
  return row === null ? undefined : parseStorageDriver(row.driver);
}

/** Throws `conflict` if there are layers or containers of another driver. */
export function refuseIfInUse(engine: Engine, driver: StorageDriver): void {
  const recorded = recordedDriver(engine);
  if (recorded !== undefined && recorded !== driver && hasContent(engine)) {
    throw new CtrError(
      "conflict",
      `storage driver ${shownDriver(driver)}: ${engine.root} has images or containers of ${shownDriver(recorded)}: ` +
        "remove them (ctr system prune -a) or use another --root",
    );
  }
}

/** Records the driver; throws as `refuseIfInUse`. Inside a transaction. */
export function recordDriver(engine: Engine, driver: StorageDriver): void {
  refuseIfInUse(engine, driver);
  engine.db.run("DELETE FROM storage");
  engine.db.query("INSERT INTO storage (driver) VALUES (?)").run(driver);
}

function hasContent(engine: Engine): boolean {
  return engine.db.query("SELECT 1 FROM layer UNION ALL SELECT 1 FROM container LIMIT 1").get() !== null;
}
