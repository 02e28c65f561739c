/**
 * netd's memory, `<root>/netd.db`. An endpoint's row is written before the kernel is touched and goes when the kernel has
 * nothing of it any more, so whatever netd made can be traced to a row, at any instruction:
 *
 *   reserved  address, ports and names are taken; the veth may or may not exist
 *   attached  the veth exists, the container has its endpoint
 *   released  address and ports are free again; the veth may still exist
 */
import type { Database } from "bun:sqlite";
import { openDatabase, openDatabaseToRead, transaction } from "../db/database.ts";
import { CtrError } from "../errors/error.ts";
import type { IpamPool, PortBinding } from "../ipc/netd.ts";
import { PROTOCOLS } from "../ipc/netd.ts";
import type { SandboxRecord } from "./sandbox.ts";

const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE network (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    driver TEXT NOT NULL,
    created_at INTEGER NOT NULL,      -- ms since 1970
    device TEXT UNIQUE,               -- the rest only for networks with addresses
    subnet INTEGER,
    prefix_length INTEGER,
    gateway INTEGER,
    mac TEXT,
    mtu INTEGER
  ) STRICT;

  CREATE TABLE endpoint (
    id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL REFERENCES network(id),
    container_id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,              -- reserved attached released
    sandbox TEXT NOT NULL,            -- JSON, see sandbox.ts
    host_interface TEXT NOT NULL UNIQUE,
    interface_index INTEGER NOT NULL, -- inside the sandbox; 0 until attached
    mac TEXT NOT NULL,
    address INTEGER,                  -- NULL when released
    UNIQUE (network_id, address)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX endpoint_container ON endpoint(container_id);

  CREATE TABLE port_binding (
    endpoint_id TEXT NOT NULL REFERENCES endpoint(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    container_port INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    host_ip TEXT NOT NULL,
    host_port INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, position),
    UNIQUE (protocol, host_ip, host_port)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- What users asked for, JSON: see NetworkSettings and EndpointSettings.
  ALTER TABLE network ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE endpoint ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
  `,
];

/** What a network was made with. */
export interface NetworkSettings {
  readonly internal?: boolean;
  readonly attachable?: boolean;
  readonly ipv6?: boolean;
  readonly labels?: { readonly [name: string]: string };
  readonly options?: { readonly [name: string]: string };
  readonly ipamOptions?: { readonly [name: string]: string };
  /** IPv4 and IPv6 pools; those of the default bridge are in the columns. */
  readonly pools?: readonly IpamPool[];
  /** True if the user chose a subnet: only then addresses may be asked for. */
  readonly hasUserSubnet?: boolean;
  readonly hasUserSubnet6?: boolean;
}

/** What an endpoint was asked for, and what it got besides its columns. */
export interface EndpointSettings {
  /** `eth0` unless given. */
  readonly interfaceName?: string;
  readonly aliases?: readonly string[];
  readonly hostname?: string;
  /** Of `--dns`. */
  readonly servers?: readonly string[];
  readonly address6?: string;
  readonly gwPriority?: number;
  /** Of `--link-local-ip`: addresses besides. */
  readonly linkLocal?: readonly string[];
  /** Of its link; 1500 unless given. The network's may have been changed since. */
  readonly mtu?: number;
}

/** A network's row; `device` and what follows are there for networks with addresses. */
export interface NetworkRow {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  readonly created_at: number;
  readonly device: string | null;
  readonly subnet: number | null;
  readonly prefix_length: number | null;
  readonly gateway: number | null;
  readonly mac: string | null;
  readonly mtu: number | null;
  readonly settings: NetworkSettings;
}

export type EndpointState = "reserved" | "attached" | "released";

export interface EndpointRecord {
  readonly id: string;
  readonly networkId: string;
  readonly containerId: string;
  readonly name: string;
  readonly state: EndpointState;
  readonly sandbox: SandboxRecord;
  readonly hostInterface: string;
  readonly interfaceIndex: number;
  readonly macAddress: string;
  /** Absent when released. */
  readonly address: number | undefined;
  readonly ports: readonly PortBinding[];
  readonly settings: EndpointSettings;
}

/** The open store; its owner is the one netd of its root directory. */
export interface Store extends Disposable {
  readonly db: Database;
}

/** The networks' ids by name, for who is not netd; none where there never was one. */
export function readNetworkIds(root: string): ReadonlyMap<string, string> {
  using db = openDatabaseToRead(`${root}/netd.db`, MIGRATIONS);
  const rows = db?.query<{ name: string; id: string }, []>("SELECT name, id FROM network").all() ?? [];
  return new Map(rows.map(({ name, id }) => [name, id]));
}

/** Opens the store, making its tables when missing. */
export function openStore(root: string): Store {
  const db = openDatabase(`${root}/netd.db`, MIGRATIONS);
  // All of it fits in a few pages; SQLite's default would let it grow to 2 MB.
  db.run("PRAGMA cache_size = -256");
  return { db, [Symbol.dispose]: () => db.close() };
}

type StoredNetwork = Omit<NetworkRow, "settings"> & { readonly settings: string };

function networkOfRow(row: StoredNetwork): NetworkRow {
  return { ...row, settings: JSON.parse(row.settings) };
}

export function listNetworks({ db }: Store): NetworkRow[] {
  return db.query<StoredNetwork, []>("SELECT * FROM network ORDER BY created_at, name").all().map(networkOfRow);
}

/** The network with this name, or id, or unique beginning of an id. Throws CtrError for a beginning of several. */
export function networkCalled(store: Store, text: string): NetworkRow | undefined {
  const found = findNetwork(store, text);
  if (found !== undefined || !/^[0-9a-f]+$/.test(text)) return found;
  const rows = listNetworks(store).filter(({ id }) => id.startsWith(text));
  if (rows.length > 1)
    throw new CtrError("invalid", `network ${text} is ambiguous (${rows.length} matches found on ID prefix)`);
  return rows[0];
}

/** The network with this name or id. */
export function findNetwork({ db }: Store, nameOrId: string): NetworkRow | undefined {
  const row = db
    .query<StoredNetwork, [string, string]>("SELECT * FROM network WHERE name = ? OR id = ?")
    .get(nameOrId, nameOrId);
  return row === null ? undefined : networkOfRow(row);
}

/** Adds a network with all that is known of it. */
export function insertNetwork({ db }: Store, network: NetworkRow): void {
  const { id, name, driver, created_at, device, subnet, prefix_length, gateway, mac, mtu, settings } = network;
  db.query("INSERT INTO network VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
    id,
    name,
    driver,
    created_at,
    device,
    subnet,
    prefix_length,
    gateway,
    mac,
    mtu,
    JSON.stringify(settings),
  );
}

/** Nothing is left of the network. */
export function deleteNetwork({ db }: Store, id: string): void {
  db.query("DELETE FROM network WHERE id = ?").run(id);
}

/** Adds a network unless one with its name exists. */
export function addNetwork({ db }: Store, network: Pick<NetworkRow, "id" | "name" | "driver" | "created_at">): void {
  db.query("INSERT INTO network (id, name, driver, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING").run(
    network.id,
    network.name,
    network.driver,
    network.created_at,
  );
}

/** Sets what a network's addresses and device are. */
export function setNetworkDevice({ db }: Store, network: NetworkRow): void {
  const { device, subnet, prefix_length, gateway, mac, mtu, id } = network;
  db.query(
    "UPDATE network SET device = ?, subnet = ?, prefix_length = ?, gateway = ?, mac = ?, mtu = ? WHERE id = ?",
  ).run(device, subnet, prefix_length, gateway, mac, mtu, id);
}

interface EndpointRow {
  readonly id: string;
  readonly network_id: string;
  readonly container_id: string;
  readonly name: string;
  readonly state: string;
  readonly sandbox: string;
  readonly host_interface: string;
  readonly interface_index: number;
  readonly mac: string;
  readonly address: number | null;
  readonly settings: string;
}

interface PortRow {
  readonly container_port: number;
  readonly protocol: string;
  readonly host_ip: string;
  readonly host_port: number;
}

/** All endpoints, released ones too: two queries, however many there are. */
export function listEndpoints({ db }: Store): EndpointRecord[] {
  const ports = new Map<string, PortRow[]>();
  const bindings = db.query<PortRow & { readonly endpoint_id: string }, []>(
    "SELECT endpoint_id, container_port, protocol, host_ip, host_port FROM port_binding ORDER BY endpoint_id, position",
  );
  for (const row of bindings.all()) {
    const known = ports.get(row.endpoint_id);
    if (known === undefined) ports.set(row.endpoint_id, [row]);
    else known.push(row);
  }
  return db
    .query<EndpointRow, []>("SELECT * FROM endpoint")
    .all()
    .map((row) => endpointRecord(row, ports.get(row.id) ?? []));
}

/** The endpoints of a container, released ones too. */
export function endpointsOf(store: Store, containerId: string): EndpointRecord[] {
  return store.db
    .query<EndpointRow, [string]>("SELECT * FROM endpoint WHERE container_id = ?")
    .all(containerId)
    .map((row) => endpointOf(store, row));
}

/** The endpoint whose veth's host end has this name. */
export function endpointOfInterface(store: Store, hostInterface: string): EndpointRecord | undefined {
  const row = store.db
    .query<EndpointRow, [string]>("SELECT * FROM endpoint WHERE host_interface = ?")
    .get(hostInterface);
  return row === null ? undefined : endpointOf(store, row);
}

/** Writes a new endpoint with its ports. Throws when its address, a port or its interface is another row's. */
export function reserveEndpoint({ db }: Store, endpoint: EndpointRecord): void {
  transaction(db, () => {
    db.query("INSERT INTO endpoint VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
      endpoint.id,
      endpoint.networkId,
      endpoint.containerId,
      endpoint.name,
      endpoint.state,
      JSON.stringify(endpoint.sandbox),
      endpoint.hostInterface,
      endpoint.interfaceIndex,
      endpoint.macAddress,
      endpoint.address ?? null,
      JSON.stringify(endpoint.settings),
    );
    insertPorts(db, endpoint.id, endpoint.ports);
  });
}

/** The veth is there. */
export function markAttached({ db }: Store, id: string, interfaceIndex: number): void {
  db.query("UPDATE endpoint SET state = 'attached', interface_index = ? WHERE id = ?").run(interfaceIndex, id);
}

/** The published ports of an endpoint are these now. Throws when one is another row's. */
export function setPorts({ db }: Store, id: string, ports: readonly PortBinding[]): void {
  transaction(db, () => {
    db.query("DELETE FROM port_binding WHERE endpoint_id = ?").run(id);
    insertPorts(db, id, ports);
  });
}

function insertPorts(db: Database, id: string, ports: readonly PortBinding[]): void {
  const insert = db.query("INSERT INTO port_binding VALUES (?, ?, ?, ?, ?, ?)");
  for (const [position, port] of ports.entries())
    insert.run(id, position, port.containerPort, port.protocol, port.hostIp, port.hostPort);
}

/** The container has another name. */
export function renameEndpoints({ db }: Store, containerId: string, name: string): void {
  db.query("UPDATE endpoint SET name = ? WHERE container_id = ?").run(name, containerId);
}

/** Frees the address and the ports; the row stays until the veth is gone. */
export function markReleased({ db }: Store, id: string): void {
  transaction(db, () => {
    db.query("DELETE FROM port_binding WHERE endpoint_id = ?").run(id);
    db.query("UPDATE endpoint SET state = 'released', address = NULL WHERE id = ?").run(id);
  });
}

/** Nothing is left of the endpoint. */
export function forgetEndpoint({ db }: Store, id: string): void {
  db.query("DELETE FROM endpoint WHERE id = ?").run(id);
}

function endpointOf({ db }: Store, row: EndpointRow): EndpointRecord {
  const ports = db
    .query<PortRow, [string]>(
      "SELECT container_port, protocol, host_ip, host_port FROM port_binding WHERE endpoint_id = ? ORDER BY position",
    )
    .all(row.id);
  return endpointRecord(row, ports);
}

function endpointRecord(row: EndpointRow, ports: readonly PortRow[]): EndpointRecord {
  return {
    id: row.id,
    networkId: row.network_id,
    containerId: row.container_id,
    name: row.name,
    state: known(["reserved", "attached", "released"], row.state),
    sandbox: JSON.parse(row.sandbox),
    hostInterface: row.host_interface,
    interfaceIndex: row.interface_index,
    macAddress: row.mac,
    address: row.address ?? undefined,
    settings: JSON.parse(row.settings),
    ports: ports.map((port) => ({
      containerPort: port.container_port,
      protocol: known(PROTOCOLS, port.protocol),
      hostIp: port.host_ip,
      hostPort: port.host_port,
    })),
  };
}

function known<const T extends string>(values: readonly T[], value: string): T {
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw new CtrError("internal", `netd.db holds an unknown word: ${value}`);
  return found;
}
