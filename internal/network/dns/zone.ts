/**
 * What containers call each other, ready to be looked up: one table per network, and for each container the networks it
 * is on. A name is found on the first of them that has it, or on the one it ends with: `web`, `web.backend`.
 */
import { ipv4Bytes, parseIpv4 } from "../../netlink/ipv4.ts";
import type { NamedEndpoint } from "../names.ts";
import { type AnswerRecord, encodeName, labelsOf, nameKey, TYPE_A, TYPE_AAAA, TYPE_PTR } from "./message.ts";

/** The containers behind one name. */
interface Named {
  readonly a: AnswerRecord[];
  readonly aaaa: AnswerRecord[];
  /** Whose turn it is to stand first. */
  turn: number;
}

interface NetworkZone {
  /** How names end that mean this network; undefined when it cannot stand in a DNS name. */
  readonly ending: string | undefined;
  readonly names: Map<string, Named>;
  /** Address in its one form → the container's name with the network's. */
  readonly addresses: Map<string, AnswerRecord>;
}

/** What one container sees. */
export interface View {
  readonly zones: readonly NetworkZone[];
  /** False when none of its networks has a way out: other names are not asked of the host's servers. */
  readonly mayAskHost: boolean;
  /** Of `--dns`. */
  readonly servers: readonly string[];
}

export type Zones = ReadonlyMap<string, View>;

/** What is known of a name: nothing (ask somebody else), or its records; `first` begins. */
export interface Found {
  readonly records: readonly AnswerRecord[];
  readonly first: number;
}

const NOTHING: readonly AnswerRecord[] = [];

/** The tables, by container. */
export function buildZones(endpoints: readonly NamedEndpoint[]): Zones {
  const networks = new Map<string, NetworkZone>();
  const views = new Map<string, { zones: NetworkZone[]; mayAskHost: boolean; servers: readonly string[] }>();
  for (const endpoint of endpoints) {
    const zone = networks.get(endpoint.networkId) ?? {
      ending: nameKey(endpoint.networkName),
      names: new Map(),
      addresses: new Map(),
    };
    networks.set(endpoint.networkId, zone);
    addEndpoint(zone, endpoint);
    const view = views.get(endpoint.containerId) ?? { zones: [], mayAskHost: false, servers: endpoint.servers };
    views.set(endpoint.containerId, view);
    if (!view.zones.includes(zone)) view.zones.push(zone);
    view.mayAskHost ||= !endpoint.isInternal;
    if (view.servers.length === 0) view.servers = endpoint.servers;
  }
  return views;
}

function addEndpoint(zone: NetworkZone, endpoint: NamedEndpoint): void {
  const own = [endpoint.containerName, endpoint.shortId, endpoint.hostname, ...endpoint.aliases];
  const keys = new Set(own.map((name) => nameKey(name)).filter((key) => key !== undefined));
  // A network's name with blanks, or longer than a label, has no form in DNS.
  const reverse = encodeName(`${endpoint.containerName}.${endpoint.networkName}`) ?? encodeName(endpoint.containerName);
  for (const address of endpoint.addresses) {
    const value = addressBytes(address);
    if (value === undefined) continue;
    for (const key of keys) {
      const named = zone.names.get(key) ?? { a: [], aaaa: [], turn: 0 };
      zone.names.set(key, named);
      if (value.length === 4) named.a.push({ type: TYPE_A, value });
      else named.aaaa.push({ type: TYPE_AAAA, value });
    }
    if (reverse !== undefined) zone.addresses.set(value.toString("hex"), { type: TYPE_PTR, value: reverse });
  }
}

/** The records of a name (`Query.name`) that a container asks for; undefined when no container is called that. */
export function findName(view: View, name: string, type: number): Found | undefined {
  const named = findIn(view.zones, name);
  if (named === undefined) return undefined;
  const records = type === TYPE_A ? named.a : type === TYPE_AAAA ? named.aaaa : NOTHING;
  return { records, first: records.length > 1 ? named.turn++ : 0 };
}

/** All that is known of a name. */
export function findAny(view: View, name: string): Found | undefined {
  const named = findIn(view.zones, name);
  return named === undefined ? undefined : { records: [...named.a, ...named.aaaa], first: 0 };
}

function findIn(zones: readonly NetworkZone[], name: string): Named | undefined {
  for (const zone of zones) {
    const named = zone.names.get(name);
    if (named !== undefined) return named;
  }
  // A network may have dots in its name, as a container may: each network is tried as the end.
  for (const zone of zones) {
    const { ending } = zone;
    if (ending === undefined || !name.endsWith(ending)) continue;
    const named = zone.names.get(name.slice(0, -ending.length));
    if (named !== undefined) return named;
  }
  return undefined;
}

/** The container that has the address a reverse name stands for. */
export function findAddress(view: View, name: string): Found | undefined {
  const address = reverseAddress(name);
  if (address === undefined) return undefined;
  for (const zone of view.zones) {
    const record = zone.addresses.get(address);
    if (record !== undefined) return { records: [record], first: 0 };
  }
  return undefined;
}

/** `2.0.18.172.in-addr.arpa` and the nibbles of `ip6.arpa` (RFC 3596 §2.5), as hexadecimal digits of the address. */
export function reverseAddress(name: string): string | undefined {
  const labels = labelsOf(name);
  if (labels.pop() !== "arpa") return undefined;
  const family = labels.pop();
  labels.reverse();
  if (family === "in-addr" && labels.length === 4) {
    const address = parseText(labels.join("."));
    return address?.toString("hex");
  }
  const nibbles = labels.join("");
  if (family === "ip6" && labels.length === 32 && /^[0-9a-f]{32}$/.test(nibbles)) return nibbles;
  return undefined;
}

/** An address as it stands in a record. */
export function addressBytes(address: string): Buffer | undefined {
  return address.includes(":") ? ipv6Bytes(address) : parseText(address);
}

function parseText(address: string): Buffer | undefined {
  const number = parseIpv4(address);
  return number === undefined ? undefined : Buffer.from(ipv4Bytes(number));
}

function ipv6Bytes(address: string): Buffer | undefined {
  const [head = "", tail, ...more] = address.split("::");
  if (more.length > 0) return undefined;
  const groups = (text: string | undefined) => (text === undefined || text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail)];
  const missing = 8 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const all = [...before, ...Array.from({ length: missing }, () => "0"), ...after];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return Buffer.from(all.map((group) => group.padStart(4, "0")).join(""), "hex");
}
