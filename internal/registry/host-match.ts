/** Hosts against lists of hosts: names, suffixes, addresses, networks. */

/** An address as a number with its width: 32 bits for IPv4 (also when mapped into IPv6), 128 for IPv6. */
interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

export interface Network extends Address {
  readonly prefixLength: number;
}

/** `localhost:5000` → `localhost`; `[::1]:5000` → `::1`. */
export function hostnameOf(host: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(host)?.[1];
  return bracketed ?? host.replace(/:\d+$/, "");
}

/** An IPv4 or IPv6 address; undefined for a name. */
export function parseAddress(text: string): Address | undefined {
  const v4 = parseV4(text);
  if (v4 !== undefined) return { bits: 32, value: v4 };
  if (!text.includes(":") || text.length > 45) return undefined;
  const lastColon = text.lastIndexOf(":");
  const tail = parseV4(text.slice(lastColon + 1));
  const whole =
    tail === undefined
      ? text
      : `${text.slice(0, lastColon + 1)}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  const halves = whole.split("::");
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  const given = groups.flat();
  if (!given.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const missing = 8 - given.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const all = [...(groups[0] ?? []), ...Array<string>(missing).fill("0"), ...(groups[1] ?? [])];
  const value = all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value };
}

function parseV4(text: string): bigint | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
}

/** `10.0.0.0/8`; undefined for anything else. */
export function parseNetwork(text: string): Network | undefined {
  const [address = "", length = "", ...more] = text.split("/");
  const parsed = parseAddress(address);
  if (parsed === undefined || more.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  const prefixLength = Number(length);
  return prefixLength > parsed.bits ? undefined : { ...parsed, prefixLength };
}

export function isInNetwork(address: Address, network: Network): boolean {
  if (address.bits !== network.bits) return false;
  const shift = BigInt(network.bits - network.prefixLength);
  return address.value >> shift === network.value >> shift;
}

const LOOPBACK = ["127.0.0.0/8", "::1/128"].flatMap((text) => parseNetwork(text) ?? []);

/** True for `localhost` and the loopback addresses. */
export function isLoopback(hostname: string): boolean {
  const address = parseAddress(hostname);
  if (address === undefined) return hostname.toLowerCase() === "localhost";
  return LOOPBACK.some((network) => isInNetwork(address, network));
}

/**
 * True if NO_PROXY's list names the host: `*`, `example.com` (and all below it), `.example.com` (only what is below),
 * an address, a network; each may have a port.
 */
export function isExcepted(host: string, port: string, list: readonly string[]): boolean {
  const hostname = host.toLowerCase();
  const address = parseAddress(hostname);
  return list.some((entry) => {
    if (entry === "*") return true;
    const network = parseNetwork(entry);
    if (network !== undefined) return address !== undefined && isInNetwork(address, network);
    const isBareV6 = parseAddress(entry)?.bits === 128;
    const wantedPort = isBareV6 ? undefined : /:(\d+)$/.exec(entry)?.[1];
    if (wantedPort !== undefined && wantedPort !== port) return false;
    const name = (isBareV6 ? entry : hostnameOf(entry)).toLowerCase().replace(/^\*(?=\.)/, "");
    const wanted = parseAddress(name);
    if (wanted !== undefined) {
      return address !== undefined && address.bits === wanted.bits && address.value === wanted.value;
    }
    if (name === "" || name === ".") return false;
    return name.startsWith(".") ? hostname.endsWith(name) : hostname === name || hostname.endsWith(`.${name}`);
  });
}
