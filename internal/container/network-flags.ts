/** `--network` and the flags that say more of it: which networks a container is on, and what it wants there. */
import { CtrError } from "../errors/error.ts";
import { isNetworkName } from "../ipc/network-name.ts";
import { OptionError } from "./option-error.ts";
import { isIpv4, isIpv6 } from "./ports.ts";
import type { NetworkAttachment } from "./record.ts";

export interface NetworkFlags {
  readonly network: readonly string[];
  readonly "network-alias": readonly string[];
  readonly ip: string | undefined;
  readonly ip6: string | undefined;
  readonly "link-local-ip": readonly string[];
  readonly link: readonly string[];
}

export interface NetworkChoice {
  readonly mode: string;
  readonly networks: { readonly [network: string]: NetworkAttachment } | undefined;
}

const USUAL: NetworkChoice = { mode: "bridge", networks: undefined };
const NOT_USERS = ["bridge", "default", "host", "none"];

/** True for a network that a user made: where containers have names. */
export function isUserNetwork(mode: string): boolean {
  return !NOT_USERS.includes(mode) && !mode.startsWith("container:");
}

/** Reads them. Throws OptionError, or `invalid` in Docker's words. */
export function readNetworks(flags: NetworkFlags): NetworkChoice {
  const shared = sharedAttachment(flags);
  if (flags.network.length === 0 && shared === undefined) return USUAL;
  const given = flags.network.length === 0 ? ["default"] : flags.network;
  const wanted = given.map((text) => (text.includes("=") ? longForm(text) : { name: shortForm(text), attachment: {} }));
  const [first] = wanted;
  const mode = first?.name ?? "bridge";
  const networks: { [network: string]: NetworkAttachment } = {};
  for (const { name, attachment } of wanted) {
    if (Object.hasOwn(networks, name)) throw invalid(`network ${JSON.stringify(name)} is specified multiple times`);
    networks[name] = attachment;
  }
  if (wanted.length > 1 && wanted.some(({ name }) => !isUserNetwork(name)))
    throw invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  if (shared !== undefined) networks[mode] = together(networks[mode] ?? {}, shared);
  for (const [name, attachment] of Object.entries(networks)) check(name, attachment);
  const isPlain = wanted.length === 1 && Object.keys(networks[mode] ?? {}).length === 0;
  return { mode, networks: isPlain ? undefined : networks };
}

/** What flags besides `--network` want of the first one. */
function sharedAttachment(flags: NetworkFlags): NetworkAttachment | undefined {
  const { ip, ip6 } = flags;
  const aliases = flags["network-alias"];
  const linkLocal = flags["link-local-ip"];
  if (aliases.length === 0 && linkLocal.length === 0 && (ip ?? "") === "" && (ip6 ?? "") === "") return undefined;
  return {
    ...(aliases.length === 0 ? {} : { Aliases: aliases.map(checkAlias) }),
    ...(ip === undefined || ip === "" ? {} : { IPv4Address: checkIpv4(ip) }),
    ...(ip6 === undefined || ip6 === "" ? {} : { IPv6Address: checkIpv6(ip6) }),
    ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: linkLocal.map(checkLinkLocal) }),
  };
}

function together(own: NetworkAttachment, shared: NetworkAttachment): NetworkAttachment {
  const conflict = (what: string, per: string) =>
    invalid(`conflicting options: cannot specify both --${what} and per-network ${per}`);
  if (own.Aliases !== undefined && shared.Aliases !== undefined) throw conflict("network-alias", "alias");
  if (own.IPv4Address !== undefined && shared.IPv4Address !== undefined) throw conflict("ip", "IPv4 address");
  if (own.IPv6Address !== undefined && shared.IPv6Address !== undefined) throw conflict("ip6", "IPv6 address");
  if (own.LinkLocalIPs !== undefined && shared.LinkLocalIPs !== undefined)
    throw conflict("link-local-ip", "link-local IP addresses");
  return { ...own, ...shared };
}

function shortForm(text: string): string {
  if (text === "") throw new OptionError("no name set for network");
  if (text === "default") return "bridge";
  if (text === "container:") throw invalid("invalid container format container:<name|id>");
  if (text.startsWith("container:")) return text;
  if (!isNetworkName(text)) throw new CtrError("not-found", `network ${text} not found`);
  return text;
}

interface Wanted {
  readonly name: string;
  readonly attachment: NetworkAttachment;
}

/** `name=backend,alias=web,ip=10.9.0.9` */
function longForm(text: string): Wanted {
  let name = "";
  const aliases: string[] = [];
  const linkLocal: string[] = [];
  const options: { [name: string]: string } = {};
  let attachment: NetworkAttachment = {};
  for (const field of text.split(",")) {
    const equals = field.indexOf("=");
    const key = field
      .slice(0, equals < 0 ? undefined : equals)
      .trim()
      .toLowerCase();
    const value = equals < 0 ? "" : field.slice(equals + 1).trim();
    if (equals < 0) throw new OptionError(`invalid field ${field}`, "network", text);
    switch (key) {
      case "name":
        name = shortForm(value);
        break;
      case "alias":
        aliases.push(checkAlias(value));
        break;
      case "ip":
        attachment = { ...attachment, IPv4Address: checkIpv4(value) };
        break;
      case "ip6":
        attachment = { ...attachment, IPv6Address: checkIpv6(value) };
        break;
      case "link-local-ip":
        linkLocal.push(checkLinkLocal(value));
        break;
      case "mac-address":
        attachment = { ...attachment, MacAddress: value.toLowerCase() };
        break;
      case "gw-priority":
        attachment = { ...attachment, GwPriority: parseGwPriority(value) };
        break;
      case "driver-opt": {
        const [option = "", ...rest] = value.split("=");
        options[option] = rest.join("=");
        break;
      }
      default:
        throw new OptionError(`invalid field key ${key}`, "network", text);
    }
  }
  if (name === "") throw new OptionError("network name/id is not specified", "network", text);
  return {
    name,
    attachment: {
      ...attachment,
      ...(aliases.length === 0 ? {} : { Aliases: aliases }),
      ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: linkLocal }),
      ...(Object.keys(options).length === 0 ? {} : { DriverOpts: options }),
    },
  };
}

/** A whole number. Throws OptionError. */
export function parseGwPriority(text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw new OptionError(`invalid gw-priority: ${text}`);
  return Number(text);
}

/** What a name server can be asked for. Throws OptionError. */
export function checkAlias(text: string): string {
  if (text.length > 253 || !/^[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?$/.test(text))
    throw new OptionError(`invalid network alias: ${JSON.stringify(text)}`);
  return text;
}

export function checkIpv4(text: string): string {
  if (!isIpv4(text)) throw new OptionError(`invalid IPv4 address: ${text}`);
  return text;
}

export function checkIpv6(text: string): string {
  if (!isIpv6(text)) throw new OptionError(`invalid IPv6 address: ${text}`);
  return text.toLowerCase();
}

/** Any address will do, as in Docker. Throws OptionError. */
export function checkLinkLocal(text: string): string {
  if (!isIpv4(text) && !isIpv6(text)) throw new OptionError(`invalid link-local IP address: ${text}`);
  return text.toLowerCase();
}

function check(name: string, { Aliases, IPv4Address, IPv6Address }: NetworkAttachment): void {
  if (isUserNetwork(name)) return;
  if (Aliases !== undefined)
    throw invalid("network-scoped alias is supported only for containers in user defined networks");
  if (IPv4Address !== undefined || IPv6Address !== undefined)
    throw invalid(
      `invalid config for network ${name}: user specified IP address is supported on user defined networks only`,
    );
}

function invalid(message: string): CtrError {
  return new CtrError("invalid", message);
}
