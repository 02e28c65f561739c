/** What a network driver does, and what it is given to do it with; the controller keeps the rest. */
import type { AttachRequest, Endpoint, PortRequest } from "../../ipc/netd.ts";
import type { Netlink } from "../../netlink/socket.ts";
import type { NetdConfig } from "../config.ts";
import type { Filter } from "../filter.ts";
import type { Log } from "../log.ts";
import type { HeldPorts } from "../ports.ts";
import type { EndpointRecord, NetworkRow, Store } from "../store.ts";

/** What the drivers share. */
export interface DriverContext {
  readonly root: string;
  readonly config: NetdConfig;
  readonly bootId: string;
  readonly store: Store;
  readonly netlink: Netlink;
  readonly filter: Filter;
  readonly ports: HeldPorts;
  readonly log: Log;
}

export interface Driver {
  /** Makes what a new network has of its own. */
  create(network: NetworkRow): Promise<void>;
  /** Removes it, and the network's row; what is gone already is fine. */
  remove(network: NetworkRow): Promise<void>;
  /** Makes sure, after a start of netd, that it is there; what fails is logged, and tried again by who needs it. */
  restore(network: NetworkRow): void;
  /** What the kernel has otherwise than recorded, a line each. */
  check(network: NetworkRow): string[];
  /** Puts that right. */
  repair(network: NetworkRow): Promise<void>;
  /** Throws CtrError for a request that cannot be met, before anything is done. */
  validate(network: NetworkRow, request: AttachRequest): void;
  /** Takes over what an earlier netd left: this endpoint is alive. */
  adopt(network: NetworkRow, endpoint: EndpointRecord): void;
  /** Makes the endpoint, all or nothing. */
  attach(network: NetworkRow, request: AttachRequest): Promise<Endpoint>;
  /**
   * Undoes `attach`, however far it came. What is gone already is fine. With `later` the interface is dead at once but
   * may be seen for a moment more; with `now` its name is free on return.
   */
  detach(network: NetworkRow, endpoint: EndpointRecord, mode: "later" | "now"): Promise<void>;
  /** Publishes ports of an attached endpoint that has none, all or nothing; absent where nothing can be published. */
  publish?(network: NetworkRow, endpoint: EndpointRecord, ports: readonly PortRequest[]): Promise<void>;
  /** Takes its published ports back. */
  unpublish?(network: NetworkRow, endpoint: EndpointRecord): Promise<void>;
  /** An attached endpoint as its container sees it. */
  describe(network: NetworkRow, endpoint: EndpointRecord): Endpoint;
  /** A link of this name has gone from the host. */
  linkGone(name: string): void;
  /** True while a timer of this driver runs. */
  isWaiting(): boolean;
}
