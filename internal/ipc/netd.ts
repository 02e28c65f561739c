/**
 * Anyone (supervisors, `ctr network`, `ctr netd status`) and netd, over `<state>/netd.sock`. A connection carries any
 * number of requests, one after the other; each has exactly one answer. Every request may be sent again after a lost
 * connection: attach replaces what an earlier attach of the same container left, detach of what is gone succeeds.
 *
 *   client                                   netd
 *     │ attach {sandbox, network, ports, …} ──▶ │   the veth's peer is born inside the sandbox
 *     │ ◀── attached {endpoint}                 │   the sandbox's own init configures it (netlink/configure.ts)
 *     │ endpoints {containerId, isServed} ────▶ │   after an attach with `isServedLater`, before the program starts
 *     │ ◀── endpoints {endpoints}               │   its name server listens
 *     │ detach {containerId} ─────────────────▶ │
 *     │ ◀── detached                            │
 *     │ rename {containerId, name} ───────────▶ │
 *     │ ◀── renamed                             │
 *     │ endpoints {containerId?} ─────────────▶ │
 *     │ ◀── endpoints {endpoints}               │
 *     │ networks ─────────────────────────────▶ │
 *     │ ◀── networks {networks}                 │
 *     │ createNetwork {name, driver, …} ──────▶ │
 *     │ ◀── networkCreated {network}            │
 *     │ removeNetwork {network} ──────────────▶ │
 *     │ ◀── networkRemoved {network}            │
 *     │ check {fix} ──────────────────────────▶ │   what is recorded against what the kernel has
 *     │ ◀── checked {differences}               │
 *     │ reload ───────────────────────────────▶ │   the configuration again, then as check {fix}
 *     │ ◀── checked {differences}               │
 *     │ status ───────────────────────────────▶ │
 *     │ ◀── status {version, pid, …}            │
 *     │ ◀── failed {kind, message}              │   instead of any of the answers
 *
 * No descriptor travels: netd opens the sandbox's namespace itself, by pid and start time or by path.
 */
import { type ErrorKind, ProtocolError } from "../errors/error.ts";
import type { Conversation } from "./connection.ts";
import {
  asFields,
  boolean,
  type Fields,
  integer,
  list,
  oneOf,
  optionalInteger,
  optionalText,
  text,
  textList,
} from "./fields.ts";
import { decodeInterfaceSetup, type InterfaceSetup, optional, optionalTexts } from "./interface-setup.ts";
import { isNetworkName } from "./network-name.ts";

export const NETD_VERSION = 1;

export const PROTOCOLS = ["tcp", "udp", "sctp"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** A port to publish. Without `hostPort` any free one; with `hostPortLast` the first free one from `hostPort` to it. */
export interface PortRequest {
  readonly containerPort: number;
  readonly protocol: Protocol;
  /** An IPv4 address of the host; absent: every one (0.0.0.0). */
  readonly hostIp?: string;
  readonly hostPort?: number;
  readonly hostPortLast?: number;
}

/** A published port. */
export interface PortBinding {
  readonly containerPort: number;
  readonly protocol: Protocol;
  readonly hostIp: string;
  readonly hostPort: number;
}

/**
 * A network namespace: that of a process (the container's init; it is dead when that process is), or a bound one
 * (dead when nothing is bound there any more).
 */
export type Sandbox = { readonly pid: number } | { readonly path: string };

export interface AttachRequest {
  readonly containerId: string;
  /** The container's name, for messages. */
  readonly name: string;
  readonly sandbox: Sandbox;
  /** The network's name or id. */
  readonly network: string;
  readonly ports: readonly PortRequest[];
  readonly macAddress?: string;
  /** What a network with names is told besides. */
  readonly hostname?: string;
  readonly aliases?: readonly string[];
  /** Name servers of its own. */
  readonly servers?: readonly string[];
  /** Addresses that it must have. */
  readonly ipv4?: string;
  readonly ipv6?: string;
  /** The highest of a container's networks has the default route; 0 unless given. */
  readonly gwPriority?: number;
  /** Addresses besides, IPv4 or IPv6, that nobody is asked for. */
  readonly linkLocal?: readonly string[];
  /** The program runs already: netd configures the interface too. */
  readonly isLive?: boolean;
  /** Answered before the container's name server listens; absent: after that. */
  readonly isServedLater?: boolean;
}

/** A container's place in a network. */
export interface Endpoint {
  readonly id: string;
  readonly containerId: string;
  readonly networkId: string;
  /** The network's name. */
  readonly network: string;
  /** The container's name. */
  readonly name: string;
  readonly interface: InterfaceSetup;
  /** The veth's end on the host. */
  readonly hostInterface: string;
  readonly macAddress: string;
  /** Empty on a network without a way out. */
  readonly gateway: string;
  readonly gateway6?: string;
  readonly gwPriority?: number;
  readonly aliases?: readonly string[];
  readonly hostname?: string;
  readonly mtu: number;
  readonly ports: readonly PortBinding[];
}

export type Texts = { readonly [name: string]: string };

/** One subnet of a network. */
export interface IpamPool {
  /** `10.9.0.0/24` */
  readonly subnet: string;
  /** The part of it that addresses are given from. */
  readonly ipRange?: string;
  readonly gateway?: string;
  /** name → address that is not given. */
  readonly auxAddresses?: Texts;
}

/** A network that is to be made. Without a pool of a kind that is wanted, one is chosen. */
export interface NetworkRequest {
  /** Of the asker's choice, 64 digits: asked for again, after a lost connection, it is the same network. */
  readonly id?: string;
  readonly name: string;
  readonly driver: string;
  readonly isInternal: boolean;
  readonly isAttachable: boolean;
  readonly hasIpv6: boolean;
  readonly labels: Texts;
  readonly options: Texts;
  readonly ipamOptions: Texts;
  readonly pools: readonly IpamPool[];
}

/** A network, as inspect shows it. `subnet` and `gateway` are there for those that have addresses. */
export interface NetworkRecord {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly device?: string;
  readonly subnet?: string;
  readonly gateway?: string;
  readonly mtu?: number;
  readonly isInternal: boolean;
  readonly isAttachable: boolean;
  readonly hasIpv6: boolean;
  readonly labels: Texts;
  readonly options: Texts;
  readonly ipamOptions: Texts;
  readonly pools: readonly IpamPool[];
}

export interface NetdStatus {
  readonly version: string;
  readonly pid: number;
  readonly endpoints: number;
  /** True if systemd handed the socket over. */
  readonly socketActivated: boolean;
  /** A netd of before does not tell them. */
  readonly details?: NetdDetails;
}

export interface NetdDetails {
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly networks: number;
  /** Addresses that containers have. */
  readonly leases: number;
  /** Published ones. */
  readonly ports: number;
  /** Questions since the start; `containers` and `waiting` are of now. */
  readonly dns: {
    readonly containers: number;
    readonly questions: number;
    readonly answered: number;
    readonly forwarded: number;
    readonly failed: number;
    readonly waiting: number;
  };
  /** `iptables v1.8.9 (nf_tables)`; "" where there is none. */
  readonly packetFilter: string;
  /** The last time that the kernel was brought to what is recorded. */
  readonly reconciled: {
    readonly atMs: number;
    readonly cause: (typeof RECONCILE_CAUSES)[number];
    /** What was put right. */
    readonly differences: readonly string[];
  };
}

export const RECONCILE_CAUSES = ["start", "reload", "request"] as const;

/** Out of one network, or all. */
export interface DetachRequest {
  readonly containerId: string;
  readonly network?: string;
  /** The program runs on: its default route is put right, and its published ports follow it. */
  readonly isLive?: boolean;
  readonly ports?: readonly PortRequest[];
}

/** What anyone tells netd. */
export type ToNetd =
  | ({ readonly type: "attach" } & AttachRequest)
  | ({ readonly type: "detach" } & DetachRequest)
  | { readonly type: "rename"; readonly containerId: string; readonly name: string }
  /** With `isServed` the answer waits until the container's name server listens. */
  | { readonly type: "endpoints"; readonly containerId?: string; readonly isServed?: boolean }
  | { readonly type: "networks" }
  | ({ readonly type: "createNetwork" } & NetworkRequest)
  | { readonly type: "removeNetwork"; readonly network: string }
  | { readonly type: "check"; readonly fix: boolean }
  /** The configuration is read again, and what differs put right. */
  | { readonly type: "reload" }
  | { readonly type: "status" };

/** What netd answers. */
export type FromNetd =
  | { readonly type: "attached"; readonly endpoint: Endpoint }
  | { readonly type: "detached" }
  | { readonly type: "renamed" }
  | { readonly type: "endpoints"; readonly endpoints: readonly Endpoint[] }
  | { readonly type: "networks"; readonly networks: readonly NetworkRecord[] }
  | { readonly type: "networkCreated"; readonly network: NetworkRecord }
  | { readonly type: "networkRemoved"; readonly network: NetworkRecord }
  /** One line for each; with `fix` those that were there before. */
  | { readonly type: "checked"; readonly differences: readonly string[] }
  | { readonly type: "status"; readonly status: NetdStatus }
  | { readonly type: "failed"; readonly kind: ErrorKind; readonly message: string };

/** The asking end. */
export const NETD_CLIENT: Conversation<FromNetd> = { name: "netd", version: NETD_VERSION, decode: decodeFromNetd };
/** netd's end. */
export const NETD_SERVER: Conversation<ToNetd> = { name: "netd", version: NETD_VERSION, decode: decodeToNetd };

/** Where netd listens. */
export function netdSocket(state: string): string {
  return `${state}/netd.sock`;
}

const MAX_PORT = 65535;
const MAX_PID = 1 << 22; // PID_MAX_LIMIT, proc(5)
/** As many as there are: two protocols' worth. */
const MAX_PORTS = 2 * MAX_PORT;

/** Checks a message of a client. Throws ProtocolError. */
export function decodeToNetd(value: unknown): ToNetd {
  const fields = asFields(value);
  const type = text(fields, "type");
  switch (type) {
    case "attach":
      return { type, ...attachRequest(fields) };
    case "detach":
      return {
        type,
        containerId: identifier(fields, "containerId"),
        ...optional("network", fields["network"] === undefined ? undefined : networkName(fields, "network")),
        ...optional("isLive", optionalBoolean(fields, "isLive")),
        ...optional("ports", fields["ports"] === undefined ? undefined : portRequests(fields)),
      };
    case "createNetwork":
      return { type, ...networkRequest(fields) };
    case "removeNetwork":
      return { type, network: networkName(fields, "network") };
    case "check":
      return { type, fix: boolean(fields, "fix") };
    case "rename":
      return { type, containerId: identifier(fields, "containerId"), name: identifier(fields, "name") };
    case "endpoints":
      return {
        type,
        ...optional("containerId", identifierOrNothing(fields, "containerId")),
        ...optional("isServed", optionalBoolean(fields, "isServed")),
      };
    case "networks":
    case "reload":
    case "status":
      return { type };
    default:
      throw new ProtocolError(`unknown message ${type}`);
  }
}

/** Checks a message of netd. Throws ProtocolError. */
export function decodeFromNetd(value: unknown): FromNetd {
  const fields = asFields(value);
  const type = text(fields, "type");
  switch (type) {
    case "attached":
      return { type, endpoint: decodeEndpoint(fields["endpoint"]) };
    case "detached":
    case "renamed":
      return { type };
    case "endpoints":
      return { type, endpoints: list(fields, "endpoints", decodeEndpoint) };
    case "networks":
      return { type, networks: list(fields, "networks", networkRecord) };
    case "networkCreated":
    case "networkRemoved":
      return { type, network: networkRecord(fields["network"]) };
    case "checked":
      return { type, differences: textList(fields, "differences") };
    case "status": {
      const status = asFields(fields["status"]);
      return {
        type,
        status: {
          version: text(status, "version"),
          pid: integer(status, "pid", 1, MAX_PID),
          endpoints: integer(status, "endpoints", 0),
          socketActivated: boolean(status, "socketActivated"),
          ...optional("details", status["details"] === undefined ? undefined : netdDetails(status["details"])),
        },
      };
    }
    case "failed":
      return { type, kind: oneOf(fields, "kind", ERROR_KINDS), message: text(fields, "message") };
    default:
      throw new ProtocolError(`unknown message ${type}`);
  }
}

function netdDetails(value: unknown): NetdDetails {
  const fields = asFields(value);
  const [dns, reconciled] = [asFields(fields["dns"]), asFields(fields["reconciled"])];
  return {
    startedAtMs: integer(fields, "startedAtMs", 0),
    networks: integer(fields, "networks", 0),
    leases: integer(fields, "leases", 0),
    ports: integer(fields, "ports", 0),
    dns: {
      containers: integer(dns, "containers", 0),
      questions: integer(dns, "questions", 0),
      answered: integer(dns, "answered", 0),
      forwarded: integer(dns, "forwarded", 0),
      failed: integer(dns, "failed", 0),
      waiting: integer(dns, "waiting", 0),
    },
    packetFilter: text(fields, "packetFilter"),
    reconciled: {
      atMs: integer(reconciled, "atMs", 0),
      cause: oneOf(reconciled, "cause", RECONCILE_CAUSES),
      differences: textList(reconciled, "differences"),
    },
  };
}

const ERROR_KINDS = [
  "invalid",
  "not-found",
  "conflict",
  "denied",
  "unavailable",
  "unsupported",
  "internal",
] as const satisfies ErrorKind[];

function attachRequest(fields: Fields): AttachRequest {
  const macAddress = optionalText(fields, "macAddress");
  const ports = portRequests(fields);
  return {
    containerId: identifier(fields, "containerId"),
    name: text(fields, "name"),
    sandbox: sandbox(asFields(fields["sandbox"])),
    network: networkName(fields, "network"),
    ports,
    ...(macAddress === undefined ? {} : { macAddress }),
    ...optional("hostname", optionalText(fields, "hostname")),
    ...optional("aliases", optionalTexts(fields, "aliases")),
    ...optional("servers", optionalTexts(fields, "servers")),
    ...optional("ipv4", optionalText(fields, "ipv4")),
    ...optional("ipv6", optionalText(fields, "ipv6")),
    ...optional("gwPriority", optionalInteger(fields, "gwPriority")),
    ...optional("linkLocal", optionalTexts(fields, "linkLocal")),
    ...optional("isLive", optionalBoolean(fields, "isLive")),
    ...optional("isServedLater", optionalBoolean(fields, "isServedLater")),
  };
}

function portRequests(fields: Fields): readonly PortRequest[] {
  const ports = list(fields, "ports", portRequest);
  if (ports.length > MAX_PORTS) throw new ProtocolError(`ports must be at most ${MAX_PORTS}`);
  return ports;
}

/** How many aliases or name servers one endpoint may have. */
function optionalBoolean(fields: Fields, name: string): boolean | undefined {
  return fields[name] === undefined || fields[name] === null ? undefined : boolean(fields, name);
}

function identifierOrNothing(fields: Fields, name: string): string | undefined {
  return fields[name] === undefined || fields[name] === null ? undefined : identifier(fields, name);
}

const MAX_ENTRIES = 1024;

/** A map of names to texts. Throws ProtocolError. */
function texts(fields: Fields, name: string): Texts {
  const entries = Object.entries(asFields(fields[name]));
  if (entries.length > MAX_ENTRIES) throw new ProtocolError(`${name} must have at most ${MAX_ENTRIES} entries`);
  return Object.fromEntries(
    entries.map(([key, value]) => {
      if (typeof value !== "string") throw new ProtocolError(`${name} must hold text`);
      return [key, value];
    }),
  );
}

function networkRequest(fields: Fields): NetworkRequest {
  const name = networkName(fields, "name");
  const id = optionalText(fields, "id");
  if (id !== undefined && !/^[0-9a-f]{64}$/.test(id)) throw new ProtocolError("id must be 64 hexadecimal digits");
  const { driver, pools, ...rest } = networkFields(fields);
  if (pools.length > MAX_POOLS) throw new ProtocolError(`pools must be at most ${MAX_POOLS}`);
  return { name, driver, pools, ...rest, ...optional("id", id) };
}

const MAX_POOLS = 64;

function networkFields(fields: Fields): Omit<NetworkRequest, "id" | "name"> {
  return {
    driver: text(fields, "driver"),
    isInternal: boolean(fields, "isInternal"),
    isAttachable: boolean(fields, "isAttachable"),
    hasIpv6: boolean(fields, "hasIpv6"),
    labels: texts(fields, "labels"),
    options: texts(fields, "options"),
    ipamOptions: texts(fields, "ipamOptions"),
    pools: list(fields, "pools", ipamPool),
  };
}

function ipamPool(value: unknown): IpamPool {
  const fields = asFields(value);
  return {
    subnet: text(fields, "subnet"),
    ...optional("ipRange", optionalText(fields, "ipRange")),
    ...optional("gateway", optionalText(fields, "gateway")),
    ...optional("auxAddresses", fields["auxAddresses"] === undefined ? undefined : texts(fields, "auxAddresses")),
  };
}

function sandbox(fields: Fields): Sandbox {
  const path = optionalText(fields, "path");
  return path === undefined ? { pid: integer(fields, "pid", 1, MAX_PID) } : { path };
}

function portRequest(value: unknown): PortRequest {
  const fields = asFields(value);
  const hostIp = optionalText(fields, "hostIp");
  const hostPort = optionalInteger(fields, "hostPort", 1, MAX_PORT);
  const hostPortLast = optionalInteger(fields, "hostPortLast", hostPort ?? 1, MAX_PORT);
  return {
    containerPort: integer(fields, "containerPort", 1, MAX_PORT),
    protocol: oneOf(fields, "protocol", PROTOCOLS),
    ...(hostIp === undefined ? {} : { hostIp }),
    ...(hostPort === undefined ? {} : { hostPort }),
    ...(hostPortLast === undefined ? {} : { hostPortLast }),
  };
}

/** Checks a published port. Throws ProtocolError. */
export function decodePortBinding(value: unknown): PortBinding {
  const fields = asFields(value);
  return {
    containerPort: integer(fields, "containerPort", 1, MAX_PORT),
    protocol: oneOf(fields, "protocol", PROTOCOLS),
    hostIp: text(fields, "hostIp"),
    hostPort: integer(fields, "hostPort", 1, MAX_PORT),
  };
}

/** Checks an endpoint. Throws ProtocolError. */
export function decodeEndpoint(value: unknown): Endpoint {
  const fields = asFields(value);
  return {
    id: text(fields, "id"),
    containerId: text(fields, "containerId"),
    networkId: text(fields, "networkId"),
    network: text(fields, "network"),
    name: text(fields, "name"),
    interface: decodeInterfaceSetup(fields["interface"]),
    hostInterface: text(fields, "hostInterface"),
    macAddress: text(fields, "macAddress"),
    gateway: text(fields, "gateway"),
    ...optional("gateway6", optionalText(fields, "gateway6")),
    ...optional("gwPriority", optionalInteger(fields, "gwPriority")),
    ...optional("aliases", optionalTexts(fields, "aliases")),
    ...optional("hostname", optionalText(fields, "hostname")),
    mtu: integer(fields, "mtu", 0),
    ports: list(fields, "ports", decodePortBinding),
  };
}

function networkRecord(value: unknown): NetworkRecord {
  const fields = asFields(value);
  const device = optionalText(fields, "device");
  const subnet = optionalText(fields, "subnet");
  const gateway = optionalText(fields, "gateway");
  const mtu = optionalInteger(fields, "mtu", 0);
  return {
    id: text(fields, "id"),
    name: text(fields, "name"),
    ...networkFields(fields),
    createdAtMs: integer(fields, "createdAtMs", 0),
    ...(device === undefined ? {} : { device }),
    ...(subnet === undefined ? {} : { subnet }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(mtu === undefined ? {} : { mtu }),
  };
}

/** A network by name or id. */
function networkName(fields: Fields, name: string): string {
  const value = text(fields, name);
  if (!isNetworkName(value)) throw new ProtocolError(`${name} must be the name of a network`);
  return value;
}

/** An id or a name of ours: what may stand in a row, in a message and in a rule's comment. */
function identifier(fields: Fields, name: string): string {
  const value = text(fields, name);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(value)) throw new ProtocolError(`${name} must be an id`);
  return value;
}
