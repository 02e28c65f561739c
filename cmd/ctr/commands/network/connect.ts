/** `ctr network connect`: a running container has the network at once. */

import {
  checkAlias,
  checkIpv4,
  checkIpv6,
  checkLinkLocal,
  parseGwPriority,
} from "../../../../internal/container/network-flags.ts";
import { connectContainer } from "../../../../internal/container/network-membership.ts";
import { openEngine } from "../../../../internal/db/engine.ts";
import { CtrError } from "../../../../internal/errors/error.ts";
import { ensureNetd } from "../../../../internal/ipc/netd-client.ts";
import { defineCommand } from "../../command.ts";
import { networkNamed, pairs } from "../../networks.ts";

export const command = defineCommand({
  meta: { name: "connect", description: "Connect a container to a network" },
  usage: "[OPTIONS] NETWORK CONTAINER",
  operands: [2, 2],
  flags: {
    alias: {
      type: "string",
      repeatable: true,
      valueHint: "strings",
      description: "Add network-scoped alias for the container",
    },
    "driver-opt": {
      type: "string",
      repeatable: true,
      valueHint: "strings",
      description: "driver options for the network",
    },
    "gw-priority": {
      type: "string",
      valueHint: "int",
      description: "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
    },
    ip: { type: "string", description: 'IPv4 address (e.g., "172.30.100.104")' },
    ip6: { type: "string", description: 'IPv6 address (e.g., "2001:db8::33")' },
    "link-local-ip": {
      type: "string",
      repeatable: true,
      valueHint: "strings",
      description: "Add a link-local address for the container",
    },
    link: { type: "string", repeatable: true, valueHint: "list", description: "Add link to another container" },
  },
  async run({ flags, operands, directories }) {
    const [name = "", container = ""] = operands;
    const { ip, ip6, "gw-priority": priority } = flags;
    if (flags.link.length > 0)
      throw new CtrError("unsupported", "--link: containers of a network find each other by name and alias");
    const attachment = {
      ...(flags["link-local-ip"].length === 0 ? {} : { LinkLocalIPs: flags["link-local-ip"].map(checkLinkLocal) }),
      ...(flags.alias.length === 0 ? {} : { Aliases: flags.alias.map(checkAlias) }),
      ...(flags["driver-opt"].length === 0 ? {} : { DriverOpts: pairs(flags["driver-opt"]) }),
      ...(priority === undefined || priority === "" ? {} : { GwPriority: parseGwPriority(priority) }),
      ...(ip === undefined || ip === "" ? {} : { IPv4Address: checkIpv4(ip) }),
      ...(ip6 === undefined || ip6 === "" ? {} : { IPv6Address: checkIpv6(ip6) }),
    };
    using engine = openEngine(directories);
    using netd = await ensureNetd(directories);
    const network = networkNamed(await netd.networks(), name);
    await connectContainer(engine, netd, { network, container, attachment });
    return 0;
  },
});
