/** `ctr network ls`: the networks by name. */
import { ensureNetd } from "../../../../internal/ipc/netd-client.ts";
import { defineCommand, FORMAT_HELP } from "../../command.ts";
import { networkFilter, shortNetworkId } from "../../networks.ts";
import { print, printTable } from "../../output.ts";
import { userSetting } from "../../user-config.ts";

export const command = defineCommand({
  meta: { name: "ls", description: "List networks" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    filter: {
      type: "string",
      alias: "f",
      repeatable: true,
      valueHint: "filter",
      description: 'Provide filter values (e.g. "driver=bridge")',
    },
    format: {
      type: "string",
      description: FORMAT_HELP,
    },
    "no-trunc": { type: "boolean", description: "Do not truncate the output" },
    quiet: { type: "boolean", alias: "q", description: "Only display network IDs" },
  },
  async run({ flags, directories }) {
    using netd = await ensureNetd(directories);
    const endpoints = flags.filter.length === 0 ? [] : await netd.endpoints();
    const accepts = networkFilter(flags.filter, endpoints);
    const networks = (await netd.networks()).filter(accepts).sort((a, b) => (a.name < b.name ? -1 : 1));
    const isShort = !flags["no-trunc"];
    const shown = (id: string) => (isShort ? shortNetworkId(id) : id);
    const given = flags.format?.trim() ?? "";
    const format = given === "" && !flags.quiet ? (userSetting("networksFormat") ?? "") : given;
    if (flags.quiet && (format === "" || format === "table")) {
      print(networks.map(({ id }) => `${shown(id)}\n`).join(""));
    } else if (format !== "") {
      const { formatNetworks } = await import("../../format/networks.ts");
      print(formatNetworks(networks, format, isShort));
    } else {
      printTable(
        ["NETWORK ID", "NAME", "DRIVER", "SCOPE"],
        networks.map(({ id, name, driver }) => [shown(id), name, driver, "local"]),
      );
    }
    return 0;
  },
});
