/** `ctr ps`: the containers, newest first. */
import { imageNames } from "../../../internal/container/image-name.ts";
import { type ListedContainer, listContainersShown } from "../../../internal/container/listing.ts";
import { portsText } from "../../../internal/container/port-list.ts";
import { areStartsNoted } from "../../../internal/container/starting.ts";
import { type Engine, openEngineToRead } from "../../../internal/db/engine.ts";
import { defineCommand, FORMAT_HELP } from "../command.ts";
import { commandText, imageText, shortId, statusText } from "../format/container-text.ts";
import { humanAgo } from "../format/duration.ts";
import { print, printError, printTable } from "../output.ts";
import { userSetting } from "../user-config.ts";

export const command = defineCommand({
  meta: { name: "ps", description: "List containers" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    all: { type: "boolean", alias: "a", description: "Show all containers (default shows just running)" },
    filter: {
      type: "string",
      alias: "f",
      repeatable: true,
      valueHint: "filter",
      description: "Filter output based on conditions provided",
    },
    format: { type: "string", description: FORMAT_HELP },
    last: {
      type: "string",
      alias: "n",
      valueHint: "int",
      default: "-1",
      description: "Show n last created containers (includes all states)",
    },
    latest: { type: "boolean", alias: "l", description: "Show the latest created container (includes all states)" },
    "no-trunc": { type: "boolean", description: "Don't truncate output" },
    quiet: { type: "boolean", alias: "q", description: "Only display container IDs" },
    size: { type: "boolean", alias: "s", description: "Display total file sizes" },
  },
  async run({ flags, directories }) {
    const last = flags.latest && Number(flags.last) < 0 ? 1 : Number(flags.last);
    const isAll = flags.all || last > 0;
    const isShort = !flags["no-trunc"];
    const given = flags.format?.trim() ?? "";
    const format = given === "" && !flags.quiet ? userSetting("psFormat") : given;
    const isByField = !flags.quiet && (format !== undefined || flags.size);
    using reader = openEngineToRead(directories);
    let engine: Engine | undefined = reader;
    let listed: readonly ListedContainer[] | undefined;
    // What is asked about more than lists show, and what a crash has left, needs the records.
    if (engine !== undefined && flags.filter.length === 0 && !isByField && !areStartsNoted(engine.state)) {
      listed = listContainersShown(engine, isAll);
      if (last > 0) listed = listed?.slice(0, last);
    }
    const nowMs = Date.now();
    if (engine === undefined || listed === undefined) {
      const { chosenRecords, openForRecords } = await import("../chosen-records.ts");
      engine = await openForRecords(directories);
      const records = await chosenRecords(engine, flags.filter, isAll, last);
      if (isByField) {
        const { printContainers } = await import("../format/containers.ts");
        printContainers(engine, records, { format: format ?? "table", isShort, withSize: flags.size, nowMs });
        return 0;
      }
      listed = records;
    }
    if (flags.quiet) {
      if (given !== "") printError("WARNING: Ignoring custom format, because both --format and --quiet are set.");
      print(listed.map(({ id }) => `${isShort ? shortId(id) : id}\n`).join(""));
      return 0;
    }
    const nameOf = imageNames(engine);
    printTable(
      ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"],
      listed.map((container) => [
        isShort ? shortId(container.id) : container.id,
        imageText(nameOf(container), container.imageId, isShort),
        commandText(container, isShort),
        humanAgo(Date.parse(container.createdAt), nowMs),
        statusText(container, nowMs),
        portsText(container),
        container.name,
      ]),
    );
    return 0;
  },
});
