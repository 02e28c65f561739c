/** What an administrator may set, in `<root>/netd.json`; absent means Docker's default. */
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import { parseCidr } from "../netlink/ipv4.ts";
import { readText } from "../sys/file.ts";

/** `{"bip": "10.9.0.1/16", "mtu": 1450}` */
export interface NetdConfig {
  /** The bridge's own address and the subnet it is in. */
  readonly bip: { readonly address: number; readonly prefixLength: number } | undefined;
  readonly mtu: number;
}

const DEFAULT_MTU = 1500;
const MIN_MTU = 68; // RFC 791
const MAX_MTU = 65535;

/** Reads the configuration; a missing file is an empty one. Throws CtrError for what it does not understand. */
export function readConfig(root: string): NetdConfig {
  const path = `${root}/netd.json`;
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    if (isErrno(error, ENOENT)) return { bip: undefined, mtu: DEFAULT_MTU };
    throw error;
  }
  return parseConfig(text, path);
}

/** The check of `readConfig`; `path` is for messages. */
export function parseConfig(text: string, path: string): NetdConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CtrError("invalid", `${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CtrError("invalid", `${path}: must be an object`);
  }
  const { bip, mtu = DEFAULT_MTU, ...others } = value as { readonly [key: string]: unknown };
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new CtrError("invalid", `${path}: unknown key ${unknown}`);
  if (typeof mtu !== "number" || !Number.isInteger(mtu) || mtu < MIN_MTU || mtu > MAX_MTU) {
    throw new CtrError("invalid", `${path}: mtu must be a whole number from ${MIN_MTU} to ${MAX_MTU}`);
  }
  if (bip === undefined) return { bip: undefined, mtu };
  if (typeof bip !== "string") throw new CtrError("invalid", `${path}: bip must be text`);
  const { address, prefixLength } = parseCidr(bip);
  // Room for the network, the broadcast, the gateway and one container; and a bitmap of at most 2 MB.
  if (prefixLength < 8 || prefixLength > 30)
    throw new CtrError("invalid", `${path}: bip must have a length from 8 to 30`);
  return { bip: { address, prefixLength }, mtu };
}
