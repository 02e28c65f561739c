/** `ctr ps` with `--format` or `--size`: fields by name. */

import { networkName } from "../../../internal/container/filter.ts";
import { imageNames } from "../../../internal/container/image-name.ts";
import { networkNames } from "../../../internal/container/networks.ts";
import { portsText } from "../../../internal/container/port-list.ts";
import type { ContainerRecord } from "../../../internal/container/record.ts";
import { containerSizes } from "../../../internal/container/sizes.ts";
import type { Engine } from "../../../internal/db/engine.ts";
import { humanSize } from "../../../internal/image/human-size.ts";
import { print } from "../output.ts";
import { commandText, ellipsis, imageText, shortId, statusText } from "./container-text.ts";
import { humanAgo } from "./duration.ts";
import { goTime } from "./local-time.ts";
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
  const raw =
    "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate: {{.State}}\n" +
    `status: {{.Status}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n${withSize ? "size: {{.Size}}\n" : ""}`;
  const type = "*formatter.ContainerContext";
  print(formatRows(format, fields(engine, listing), records, table, { type, raw }));
}

function fields(engine: Engine, { format, isShort, withSize, nowMs }: ContainerListing): RowFields<ContainerRecord> {
  // A walk over a directory each: only when it is asked for by name.
  const nameOf = imageNames(engine);
  const showsSize = withSize || /\.Size\b/.test(format);
  return {
    ID: { header: "CONTAINER ID", value: ({ id }) => (isShort ? shortId(id) : id) },
    Names: { header: "NAMES", value: ({ name }) => name },
    Image: { header: "IMAGE", value: (record) => imageText(nameOf(record), record.imageId, isShort) },
    Command: { header: "COMMAND", value: (record) => commandText(record, isShort) },
    CreatedAt: { header: "CREATED AT", value: ({ createdAt }) => goTime(Date.parse(createdAt)) },
    RunningFor: { header: "CREATED", value: ({ createdAt }) => humanAgo(Date.parse(createdAt), nowMs) },
    Ports: { header: "PORTS", value: portsText },
    State: { header: "STATE", value: ({ state }) => state },
    Status: { header: "STATUS", value: (record) => statusText(record, nowMs) },
    HealthStatus: { header: "HEALTH STATUS", value: ({ runtime }) => runtime.health?.Status ?? "" },
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
    Networks: { header: "NETWORKS", value: (record) => networkNames(record).map(networkName).join(",") },
    Platform: { header: "PLATFORM", value: () => "linux" },
  };
}

function sizeText(engine: Engine, record: ContainerRecord): string {
  const { writable, total } = containerSizes(engine, record);
  return `${humanSize(writable)} (virtual ${humanSize(total)})`;
}
