/** `ctr ps`: the containers, newest first. */
import { imageNames } from "../../../internal/container/image-name.ts";
import { portsText } from "../../../internal/container/port-list.ts";
import type { ContainerRecord } from "../../../internal/container/record.ts";
import { notedStarts } from "../../../internal/container/starting.ts";
import { isLive } from "../../../internal/container/states.ts";
import { hasKeeper, listContainers } from "../../../internal/container/store.ts";
import { type Engine, openEngine } from "../../../internal/db/engine.ts";
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
    using engine = openEngine(directories);
    if (notedStarts(engine.state).length > 0) {
      const { collectStarts } = await import("../../../internal/container/collect.ts");
      // What cannot be removed now is found again by the next command; it is none of the list's.
      collectStarts(engine);
    }
    const last = flags.latest && Number(flags.last) < 0 ? 1 : Number(flags.last);
    const records = await chosen(engine, flags.filter, flags.all || last > 0, last);
    const isShort = !flags["no-trunc"];
    const given = flags.format?.trim() ?? "";
    if (flags.quiet) {
      if (given !== "") printError("WARNING: Ignoring custom format, because both --format and --quiet are set.");
      print(records.map((record) => `${isShort ? shortId(record.id) : record.id}\n`).join(""));
      return 0;
    }
    const nowMs = Date.now();
    const format = given === "" ? userSetting("psFormat") : given;
    if (format !== undefined || flags.size) {
      const { printContainers } = await import("../format/containers.ts");
      printContainers(engine, records, { format: format ?? "table", isShort, withSize: flags.size, nowMs });
      return 0;
    }
    const nameOf = imageNames(engine);
    printTable(
      ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"],
      records.map((record) => [
        isShort ? shortId(record.id) : record.id,
        imageText(nameOf(record), record.imageId, isShort),
        commandText(record, isShort),
        humanAgo(Date.parse(record.createdAt), nowMs),
        statusText(record, nowMs),
        portsText(record),
        record.name,
      ]),
    );
    return 0;
  },
});

/** The containers asked for, as they really are. */
async function chosen(
  engine: Engine,
  filters: readonly string[],
  isAll: boolean,
  last: number,
): Promise<readonly ContainerRecord[]> {
  const filter =
    filters.length === 0
      ? undefined
      : (await import("../../../internal/container/filter.ts")).parseFilters(engine, filters);
  const records: ContainerRecord[] = [];
  for (const recorded of listContainers(engine)) {
    const record = await current(engine, recorded);
    if (record === undefined) continue;
    if (!isAll && filter?.asksForState !== true && !isLive(record.state)) continue;
    if (filter !== undefined && !filter.accepts(record)) continue;
    records.push(record);
    if (last > 0 && records.length === last) break;
  }
  return records;
}

/** As it really is: what a dead supervisor left is put right first, which needs more code than looking does. */
async function current(engine: Engine, record: ContainerRecord): Promise<ContainerRecord | undefined> {
  if (record.runtime.supervisorPid === 0 || hasKeeper(record.runtime)) return record;
  const { refresh } = await import("../../../internal/container/collect.ts");
  return refresh(engine, record);
}
