/** Who is called what on which network: what the controller knows, and a name server answers from. */
import { formatIpv4 } from "../netlink/ipv4.ts";
import type { SandboxRecord } from "./sandbox.ts";
import type { EndpointSettings, NetworkSettings, Store } from "./store.ts";

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

/** Of the controller: all that are attached now, or those of one container. */
export type NamesOnNetworks = (containerId?: string) => readonly NamedEndpoint[];

/**
 * Called after every change of what `NamesOnNetworks` gives, of one container or of several. Settled when who is concerned
 * is served, so that a program finds its name server listening.
 */
export type DnsChanged = (containerId?: string) => void | Promise<void>;

/** What the controller knows of the name server. */
export interface Dns {
  readonly changed: DnsChanged;
  /** Resolves when this container is served, after a change that was told. */
  readonly served: (containerId: string) => Promise<void>;
  /** What is otherwise than it should be, a line each. */
  readonly differences: () => readonly string[];
  /** Puts that right. */
  readonly repair: () => Promise<void>;
}

export const NO_DNS: Dns = { changed: () => {}, served: async () => {}, differences: () => [], repair: async () => {} };

interface NamedRow {
  readonly id: string;
  readonly container_id: string;
  readonly name: string;
  readonly sandbox: string;
  readonly address: number | null;
  readonly settings: string;
  readonly network_id: string;
  readonly network_name: string;
  readonly network_settings: string;
}

const NAMED = `
  SELECT endpoint.id, container_id, endpoint.name, sandbox, address, endpoint.settings,
    network.id AS network_id, network.name AS network_name, network.settings AS network_settings
  FROM endpoint JOIN network ON network.id = network_id
  WHERE state = 'attached'`;

/** The endpoints with names, of all containers or of one, in one query. */
export function readNames(
  { db }: Store,
  hasNames: (network: string) => boolean,
  containerId?: string,
): readonly NamedEndpoint[] {
  const rows =
    containerId === undefined
      ? db.query<NamedRow, []>(NAMED).all()
      : db.query<NamedRow, [string]>(`${NAMED} AND container_id = ?`).all(containerId);
  return rows.filter((row) => hasNames(row.network_name)).map(namedEndpoint);
}

function namedEndpoint(row: NamedRow): NamedEndpoint {
  const { hostname = "", aliases = [], servers = [], address6 }: EndpointSettings = JSON.parse(row.settings);
  const network: NetworkSettings = JSON.parse(row.network_settings);
  return {
    endpointId: row.id,
    containerId: row.container_id,
    containerName: row.name,
    shortId: row.container_id.slice(0, 12),
    hostname,
    aliases,
    networkId: row.network_id,
    networkName: row.network_name,
    addresses: [
      ...(row.address === null ? [] : [formatIpv4(row.address)]),
      ...(address6 === undefined ? [] : [address6]),
    ],
    isInternal: network.internal === true,
    sandbox: JSON.parse(row.sandbox),
    servers,
  };
}
