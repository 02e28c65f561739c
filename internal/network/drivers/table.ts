/** The drivers by name. */
import { CtrError } from "../../errors/error.ts";
import { createBridgeDriver } from "./bridge.ts";
import type { Driver, DriverContext } from "./driver.ts";
import { createEndpointlessDriver } from "./none.ts";
import { createSubInterfaceDriver } from "./sub-interface.ts";

const CREATE: { readonly [name: string]: (context: DriverContext) => Driver } = {
  bridge: createBridgeDriver,
  ipvlan: (context) => createSubInterfaceDriver(context, "ipvlan"),
  macvlan: (context) => createSubInterfaceDriver(context, "macvlan"),
  host: createEndpointlessDriver,
  null: createEndpointlessDriver,
};

/** The predefined networks: name and driver, as Docker has them. */
export const PREDEFINED = [
  { name: "bridge", driver: "bridge" },
  { name: "host", driver: "host" },
  { name: "none", driver: "null" },
] as const;

/** Every driver, made once. */
export function createDrivers(context: DriverContext): ReadonlyMap<string, Driver> {
  return new Map(Object.entries(CREATE).map(([name, create]) => [name, create(context)]));
}

/** The driver of this name. Throws CtrError for one that is not there. */
export function driverOf(drivers: ReadonlyMap<string, Driver>, name: string): Driver {
  const driver = drivers.get(name);
  if (driver === undefined) throw new CtrError("unsupported", `no network driver called ${name}`);
  return driver;
}
