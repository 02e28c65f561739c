/** `ctr network create`. */
import { recordNetworkEvent } from "../../../../internal/container/network-membership.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { CtrError } from "../../../../internal/errors/error.ts";
import type { IpamPool } from "../../../../internal/ipc/netd.ts";
import { ensureNetd } from "../../../../internal/ipc/netd-client.ts";
import { isNetworkName } from "../../../../internal/ipc/network-name.ts";
import { isInSubnet } from "../../../../internal/network/subnet-text.ts";
import { defineCommand, type Flags } from "../../command.ts";
import { pairs } from "../../networks.ts";
import { printLine } from "../../output.ts";

const WHAT_NAMES_ARE =
  "at most 128 characters that can be seen, no blank at its ends, and not beginning with container:";

const flags = {
  attachable: { type: "boolean", description: "Enable manual container attachment" },
  "aux-address": {
    type: "string",
    repeatable: true,
    valueHint: "map",
    description: "Auxiliary IPv4 or IPv6 addresses used by Network driver",
  },
  driver: { type: "string", alias: "d", default: "bridge", description: "Driver to manage the Network" },
  gateway: {
    type: "string",
    repeatable: true,
    valueHint: "strings",
    description: "IPv4 or IPv6 Gateway for the master subnet",
  },
  internal: { type: "boolean", description: "Restrict external access to the network" },
  "ip-range": {
    type: "string",
    repeatable: true,
    valueHint: "strings",
    description: "Allocate container ip from a sub-range",
  },
  "ipam-driver": { type: "string", default: "default", description: "IP Address Management Driver" },
  "ipam-opt": { type: "string", repeatable: true, valueHint: "map", description: "Set IPAM driver specific options" },
  ipv4: { type: "boolean", default: true, description: "Enable or disable IPv4 address assignment" },
  ipv6: { type: "boolean", description: "Enable or disable IPv6 address assignment" },
  label: { type: "string", repeatable: true, valueHint: "list", description: "Set metadata on a network" },
  opt: { type: "string", alias: "o", repeatable: true, valueHint: "map", description: "Set driver specific options" },
  scope: { type: "string", description: "Control the network's scope" },
  subnet: {
    type: "string",
    repeatable: true,
    valueHint: "strings",
    description: "Subnet in CIDR format that represents a network segment",
  },
} as const;

export const command = defineCommand({
  meta: { name: "create", description: "Create a network" },
  usage: "[OPTIONS] NETWORK",
  operands: [1, 1],
  flags,
  async run({ flags, operands, directories }) {
    const [name = ""] = operands;
    if (!isNetworkName(name)) throw invalid(`invalid network name ${JSON.stringify(name)}: ${WHAT_NAMES_ARE}`);
    if (!flags.ipv4) throw new CtrError("unsupported", "--ipv4=false: every network has IPv4 addresses");
    if (flags["ipam-driver"] !== "default" && flags["ipam-driver"] !== "")
      throw new CtrError("not-found", `ipam driver ${JSON.stringify(flags["ipam-driver"])} not found`);
    if (flags.scope !== undefined && flags.scope !== "" && flags.scope !== "local")
      throw new CtrError("unsupported", `--scope ${flags.scope}: there is no swarm here, every network is local`);
    const pools = poolsOf(flags);
    using engine = openEngine(directories);
    using netd = await ensureNetd(directories);
    const network = await netd.createNetwork({
      name,
      driver: flags.driver === "" ? "bridge" : flags.driver,
      isInternal: flags.internal,
      isAttachable: flags.attachable,
      hasIpv6: flags.ipv6,
      labels: pairs(flags.label),
      options: pairs(flags.opt),
      ipamOptions: pairs(flags["ipam-opt"]),
      pools,
    });
    recordNetworkEvent(engine, "create", network);
    printLine(network.id);
    return 0;
  },
});

function invalid(message: string): CtrError {
  return new CtrError("invalid", message);
}

/** Each subnet with the range, the gateway and the addresses that are in it (docker/cli, consolidateIpam). */
function poolsOf(given: Flags<typeof flags>): IpamPool[] {
  const { subnet: subnets, gateway: gateways } = given;
  const ranges = given["ip-range"];
  if (subnets.length < ranges.length || subnets.length < gateways.length)
    throw invalid("every ip-range or gateway must have a corresponding subnet");
  const pools = subnets.map((subnet) => ({ subnet }) as { -readonly [Field in keyof IpamPool]: IpamPool[Field] });
  for (const [at, { subnet }] of pools.entries()) {
    if (isInSubnet(subnet, subnet) === undefined) throw invalid(`invalid CIDR address: ${subnet}`);
    const other = pools.find((pool, index) => index !== at && isInSubnet(pool.subnet, subnet) === true);
    if (other !== undefined) throw invalid("multiple overlapping subnet configuration is not supported");
  }
  const poolOf = (address: string) => pools.find(({ subnet }) => isInSubnet(subnet, address) === true);
  for (const range of ranges) {
    const pool = poolOf(range);
    if (pool === undefined) throw invalid(`no matching subnet for range ${range}`);
    if (pool.ipRange !== undefined)
      throw invalid(`cannot configure multiple ranges (${range}, ${pool.ipRange}) on the same subnet (${pool.subnet})`);
    pool.ipRange = range;
  }
  for (const gateway of gateways) {
    const pool = poolOf(gateway);
    if (pool === undefined) throw invalid(`no matching subnet for gateway ${gateway}`);
    if (pool.gateway !== undefined)
      throw invalid(
        `cannot configure multiple gateways (${gateway}, ${pool.gateway}) for the same subnet (${pool.subnet})`,
      );
    pool.gateway = gateway;
  }
  for (const [name, address] of Object.entries(pairs(given["aux-address"]))) {
    const pool = poolOf(address);
    if (pool === undefined) throw invalid(`no matching subnet for aux-address ${address}`);
    pool.auxAddresses = { ...pool.auxAddresses, [name]: address };
  }
  return pools;
}
