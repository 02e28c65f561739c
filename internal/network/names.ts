/** Who is called what on which network: what the controller knows, and a name server answers from. */
import type { SandboxRecord } from "./sandbox.ts";

/** One container on one network with names: the networks that users made, not the default bridge. */
export interface NamedEndpoint {
  readonly endpointId: string;
  readonly containerId: string;
  readonly containerName: string;
  /** The first twelve digits of the id. */
  readonly shortId: string;
  /** What the container calls itself. */
  readonly hostname: string;
  readonly aliases: readonly string[];
  readonly networkId: string;
  readonly networkName: string;
  /** IPv4 first, then IPv6; as text, without a prefix length. */
  readonly addresses: readonly string[];
  /** True for a network without a way out: other names are not asked of anybody. */
  readonly isInternal: boolean;
  /** Where its name server listens. */
  readonly sandbox: SandboxRecord;
  /** Of `--dns`; none: the host's. */
  readonly servers: readonly string[];
}

/** Of the controller: all that are attached now. */
export type NamesOnNetworks = () => readonly NamedEndpoint[];

/**
 * Called after every change of what `NamesOnNetworks` gives. An attach is answered when the promise is settled, so that
 * a program finds its name server listening.
 */
export type DnsChanged = () => void | Promise<void>;
