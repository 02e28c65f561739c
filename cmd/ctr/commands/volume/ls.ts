/** `ctr volume ls`: the volumes by name. */
import { openEngine } from "../../../../internal/db/engine.ts";
import { filterVolumes } from "../../../../internal/volume/list.ts";
import { defineCommand, FORMAT_HELP } from "../../command.ts";
import { print, printTable } from "../../output.ts";
import { userSetting } from "../../user-config.ts";

export const command = defineCommand({
  meta: { name: "ls", description: "List volumes" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    filter: {
      type: "string",
      alias: "f",
      repeatable: true,
      valueHint: "filter",
      description: 'Provide filter values (e.g. "dangling=true")',
    },
    format: {
      type: "string",
      description: FORMAT_HELP,
    },
    quiet: { type: "boolean", alias: "q", description: "Only display volume names" },
  },
  async run({ flags, directories }) {
    using engine = openEngine(directories);
    const volumes = filterVolumes(engine, flags.filter);
    const given = flags.format?.trim() ?? "";
    const format = given === "" && !flags.quiet ? (userSetting("volumesFormat") ?? "") : given;
    if (flags.quiet && (format === "" || format === "table")) {
      print(volumes.map(({ name }) => `${name}\n`).join(""));
    } else if (format !== "") {
      const { formatVolumes } = await import("../../format/volumes.ts");
      print(formatVolumes(engine, volumes, format));
    } else {
      printTable(
        ["DRIVER", "VOLUME NAME"],
        volumes.map(({ name }) => ["local", name]),
      );
    }
    return 0;
  },
});
