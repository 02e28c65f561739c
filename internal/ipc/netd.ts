/**
 * Anyone (supervisors, `ctr network`, `ctr netd status`) and netd, over `<state>/netd.sock`. A connection carries any
 * number of requests, one after the other; each has exactly one answer. Every request may be sent again after a lost
 * connection: attach replaces what an earlier attach of the same container left, detach of what is gone succeeds.
 *
 *   client                                   netd
 *     │ attach {sandbox, network, ports, …} ──▶ │   the veth's peer is born inside the sandbox
 *     │ ◀── attached {endpoint}                 │   the sandbox's own init configures it (netlink/configure.ts)
 *     │ detach {containerId} ─────────────────▶ │
 *     │ ◀── detached                            │
 *     │ rename {containerId, name} ───────────▶ │
 *     │ ◀── renamed                             │
 *     │ endpoints {containerId?} ─────────────▶ │
 *     │ ◀── endpoints {endpoints}               │
 *     │ networks ─────────────────────────────▶ │
 *     │ ◀── networks {networks}                 │
 *     │ status ───────────────────────────────▶ │
 *     │ ◀── status {version, pid, …}            │
 *     │ ◀── failed {kind, message}              │   instead of any of the answers
 *
 * No descriptor travels: netd opens the sandbox's namespace itself, by pid and start time or by path.
 */
import { type ErrorKind, ProtocolError } from "../errors/error.ts";
import type { Conversation } from "./connection.ts";
import { asFields, boolean, type Fields, integer, list, oneOf, optionalInteger, optionalText, text } from "./fields.ts";

export const NETD_VERSION = 1;

export const PROTOCOLS = ["tcp", "udp"] as const;
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
  /** The network's name: `bridge`. */
  readonly network: string;
  readonly ports: readonly PortRequest[];
  readonly macAddress?: string;
}

/** A route of an endpoint; without `gateway` the destination is on the link. */
export interface Route {
  /** `0.0.0.0/0` is the default route. */
  readonly destination: string;
  readonly gateway?: string;
}

/** What the sandbox's init has to set on the interface it finds. */
export interface InterfaceSetup {
  /** `eth0`: the name it was born with. */
  readonly name: string;
  /** Its number inside the sandbox. */
  readonly index: number;
  readonly address: string;
  readonly prefixLength: number;
  readonly routes: readonly Route[];
}

/** A container's place in a network. */
export interface Endpoint {
  readonly id: string;
  readonly containerId: string;
  readonly networkId: string;
  /** The network's name. */
  readonly network: string;
  readonly interface: InterfaceSetup;
  /** The veth's end on the host. */
  readonly hostInterface: string;
  readonly macAddress: string;
  readonly gateway: string;
  readonly mtu: number;
  readonly ports: readonly PortBinding[];
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
}

export interface NetdStatus {
  readonly version: string;
  readonly pid: number;
  readonly endpoints: number;
  /** True if systemd handed the socket over. */
  readonly socketActivated: boolean;
}

/** What anyone tells netd. */
export type ToNetd =
  | ({ readonly type: "attach" } & AttachRequest)
  | { readonly type: "detach"; readonly containerId: string }
  | { readonly type: "rename"; readonly containerId: string; readonly name: string }
  | { readonly type: "endpoints"; readonly containerId?: string }
  | { readonly type: "networks" }
  | { readonly type: "status" };

/** What netd answers. */
export type FromNetd =
  | { readonly type: "attached"; readonly endpoint: Endpoint }
  | { readonly type: "detached" }
  | { readonly type: "renamed" }
  | { readonly type: "endpoints"; readonly endpoints: readonly Endpoint[] }
  | { readonly type: "networks"; readonly networks: readonly NetworkRecord[] }
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
      return { type, containerId: identifier(fields, "containerId") };
    case "rename":
      return { type, containerId: identifier(fields, "containerId"), name: identifier(fields, "name") };
    case "endpoints":
      return fields["containerId"] === undefined ? { type } : { type, containerId: identifier(fields, "containerId") };
    case "networks":
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
    case "status": {
      const status = asFields(fields["status"]);
      return {
        type,
        status: {
          version: text(status, "version"),
          pid: integer(status, "pid", 1, MAX_PID),
          endpoints: integer(status, "endpoints", 0),
          socketActivated: boolean(status, "socketActivated"),
        },
      };
    }
    case "failed":
      return { type, kind: oneOf(fields, "kind", ERROR_KINDS), message: text(fields, "message") };
    default:
      throw new ProtocolError(`unknown message ${type}`);
  }
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
  const ports = list(fields, "ports", portRequest);
  if (ports.length > MAX_PORTS) throw new ProtocolError(`ports must be at most ${MAX_PORTS}`);
  return {
    containerId: identifier(fields, "containerId"),
    name: text(fields, "name"),
    sandbox: sandbox(asFields(fields["sandbox"])),
    network: text(fields, "network"),
    ports,
    ...(macAddress === undefined ? {} : { macAddress }),
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

/** Checks what init is told about its interface, on whichever pipe it comes. Throws ProtocolError. */
export function decodeInterfaceSetup(value: unknown): InterfaceSetup {
  const fields = asFields(value);
  return {
    name: text(fields, "name"),
    index: integer(fields, "index", 1, 0x7fffffff),
    address: text(fields, "address"),
    prefixLength: integer(fields, "prefixLength", 0, 32),
    routes: list(fields, "routes", route),
  };
}

function route(value: unknown): Route {
  const fields = asFields(value);
  const gateway = optionalText(fields, "gateway");
  return { destination: text(fields, "destination"), ...(gateway === undefined ? {} : { gateway }) };
}

/** Checks an endpoint. Throws ProtocolError. */
export function decodeEndpoint(value: unknown): Endpoint {
  const fields = asFields(value);
  return {
    id: text(fields, "id"),
    containerId: text(fields, "containerId"),
    networkId: text(fields, "networkId"),
    network: text(fields, "network"),
    interface: decodeInterfaceSetup(fields["interface"]),
    hostInterface: text(fields, "hostInterface"),
    macAddress: text(fields, "macAddress"),
    gateway: text(fields, "gateway"),
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
    driver: text(fields, "driver"),
    createdAtMs: integer(fields, "createdAtMs", 0),
    ...(device === undefined ? {} : { device }),
    ...(subnet === undefined ? {} : { subnet }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(mtu === undefined ? {} : { mtu }),
  };
}

/** An id or a name of ours: what may stand in a row, in a message and in a rule's comment. */
function identifier(fields: Fields, name: string): string {
  const value = text(fields, name);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(value)) throw new ProtocolError(`${name} must be an id`);
  return value;
}
