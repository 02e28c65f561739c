/** The flags that are addresses and names of hosts: `--mac-address`, `--dns`, `--dns-search`, `--add-host`. */
import { OptionError } from "./option-error.ts";
import { isIpAddress } from "./ports.ts";

export function parseMacAddress(text: string): string {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text.replaceAll("-", ":"))) {
    throw new OptionError(`${text} is not a valid mac address`);
  }
  const address = text.replaceAll("-", ":").toLowerCase();
  // The lowest bit of the first byte marks a group; a link refuses it (EADDRNOTAVAIL).
  if ((Number.parseInt(address.slice(0, 2), 16) & 1) === 1 || address === "00:00:00:00:00:00") {
    throw new OptionError(`${text} is not a mac address that a link can have`);
  }
  return address;
}

export function parseDns(address: string): string {
  if (!isIpAddress(address.trim()))
    throw new OptionError(`IP address is not correctly formatted: ${address}`, "dns", address);
  return address.trim();
}

export function parseDnsSearch(domain: string): string {
  const trimmed = domain.trim();
  if (trimmed === ".") return trimmed;
  // RFC 1035 with underscores, as Docker allows them.
  if (trimmed.length > 255 || !/^[\w-]{1,63}(\.[\w-]{1,63})*\.?$/.test(trimmed)) {
    throw new OptionError(`${domain} is not a valid domain`, "dns-search", domain);
  }
  return trimmed;
}

/** `name:address` or `name=address`; an address may be `host-gateway`, and an IPv6 one in brackets. */
export function parseExtraHost(text: string): string {
  const [, name, address] = /^([^:=]+)[:=](.+)$/.exec(text) ?? [];
  if (name === undefined || address === undefined || /\s/.test(text)) {
    throw new OptionError(`bad format for add-host: ${JSON.stringify(text)}`, "add-host", text);
  }
  const bare = /^\[(.*)\]$/.exec(address)?.[1] ?? address;
  if (bare !== "host-gateway" && !isIpAddress(bare)) {
    throw new OptionError(`invalid IP address in add-host: ${JSON.stringify(address)}`, "add-host", text);
  }
  return `${name}:${bare}`;
}
