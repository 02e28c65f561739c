/** The networks without endpoints: `host` (the host's own namespace) and `none` (loopback only). Nothing is attached to them. */
import { CtrError } from "../../errors/error.ts";
import type { NetworkRow } from "../store.ts";
import type { Driver } from "./driver.ts";

export function createEndpointlessDriver(): Driver {
  const refuse = (network: NetworkRow): never => {
    throw new CtrError("invalid", `network ${network.name} has no endpoints`);
  };
  return {
    create: async (network) => refuse(network),
    remove: async (network) => refuse(network),
    restore: () => {},
    check: () => [],
    repair: async () => {},
    validate: refuse,
    adopt: refuse,
    attach: async (network) => refuse(network),
    detach: async (network) => refuse(network),
    describe: refuse,
    linkGone: () => {},
    isWaiting: () => false,
  };
}
