/** `ctr ps` with `--format` or `--size`: fields by name. */

import { networkName } from "../../../internal/container/filter.ts";
import { portsText } from "../../../internal/container/port-list.ts";
import type { ContainerRecord } from "../../../internal/container/record.ts";
import { containerSizes } from "../../../internal/container/sizes.ts";
import type { Engine } from "../../../internal/db/engine.ts";
import { print } from "../output.ts";
import { commandText, ellipsis, imageText, shortId, statusText } from "./container-text.ts";
import { humanAgo, humanSize } from "./duration.ts";
import { formatRows, type RowFields } from "./rows.ts";

export interface ContainerListing {
  readonly format: string;
  readonly isShort: boolean;
  readonly withSize: boolean;
  readonly nowMs: number;
}

const SHORT_MOUNT = 15;
const COLUMNS = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/** Prints the containers in the format asked for. */
export function printContainers(engine: Engine, records: readonly ContainerRecord[], listing: ContainerListing): void {
  const { format, withSize } = listing;
  const table = `table ${COLUMNS}${withSize ? "\t{{.Size}}" : ""}`;
  print(formatRows(format, fields(engine, listing), records, table));
}

function fields(engine: Engine, { format, isShort, withSize, nowMs }: ContainerListing): RowFields<ContainerRecord> {
  // A walk over a directory each: only when it is asked for by name.
  const showsSize = withSize || /\.Size\b/.test(format);
  return {
    ID: { header: "CONTAINER ID", value: ({ id }) => (isShort ? shortId(id) : id) },
    Names: { header: "NAMES", value: ({ name }) => name },
    Image: { header: "IMAGE", value: (record) => imageText(record, isShort) },
    Command: { header: "COMMAND", value: (record) => commandText(record, isShort) },
    CreatedAt: { header: "CREATED AT", value: ({ createdAt }) => localTime(createdAt) },
    RunningFor: { header: "CREATED", value: ({ createdAt }) => humanAgo(Date.parse(createdAt), nowMs) },
    Ports: { header: "PORTS", value: portsText },
    State: { header: "STATE", value: ({ state }) => state },
    Status: { header: "STATUS", value: (record) => statusText(record, nowMs) },
    HealthStatus: { header: "HEALTH STATUS", value: () => "" },
    Size: { header: "SIZE", value: (record) => (showsSize ? sizeText(engine, record) : "0B") },
    Labels: {
      header: "LABELS",
      value: ({ config }) =>
        Object.entries(config.Labels)
          .map(([name, value]) => `${name}=${value}`)
          .join(","),
    },
    Label: {
      header: "LABEL",
      method: ({ config }, name) => (Object.hasOwn(config.Labels, name) ? (config.Labels[name] ?? "") : ""),
    },
    Mounts: {
      header: "MOUNTS",
      value: ({ runtime }) =>
        runtime.mounts
          .map(({ Name, Source }) => Name ?? Source)
          .map((name) => (isShort ? ellipsis(name, SHORT_MOUNT) : name))
          .join(","),
    },
    LocalVolumes: {
      header: "LOCAL VOLUMES",
      value: ({ runtime }) => String(runtime.mounts.filter(({ Type }) => Type === "volume").length),
    },
    Networks: { header: "NETWORKS", value: ({ hostConfig }) => networkName(hostConfig.NetworkMode) },
    Platform: { header: "PLATFORM", value: () => "linux" },
  };
}

function sizeText(engine: Engine, record: ContainerRecord): string {
  const { writable, total } = containerSizes(engine, record);
  return `${humanSize(writable)} (virtual ${humanSize(total)})`;
}

/** `2026-11-21 12:00:00 +0000 UTC`: Go's Time.String, without fractions. */
function localTime(time: string): string {
  const date = new Date(time);
  const offset = -date.getTimezoneOffset();
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map((part) =>
    String(part).padStart(2, "0"),
  );
  const shown = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, 19).replace("T", " ");
  const zone =
    offset === 0 ? "UTC" : (/\(([A-Z]{2,5})\)/.exec(date.toString())?.[1] ?? `${offset < 0 ? "-" : "+"}${hours}`);
  return `${shown} ${offset < 0 ? "-" : "+"}${hours}${minutes} ${zone}`;
}
