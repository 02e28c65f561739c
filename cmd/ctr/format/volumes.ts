/** `ctr volume ls` with `--format`: fields by name. */
import type { Engine } from "../../../internal/db/engine.ts";
import { type Volume, volumeData } from "../../../internal/volume/store.ts";
import { formatRows, type RowFields } from "./rows.ts";

/** The text of the volumes in the format asked for. */
export function formatVolumes(engine: Engine, volumes: readonly Volume[], format: string): string {
  return formatRows(format, fields(engine), volumes, "table {{.Driver}}\t{{.Name}}");
}

/** What only a cluster's volumes or `system df` have. */
const absent = (header: string) => ({ header, value: () => "N/A" });

function fields(engine: Engine): RowFields<Volume> {
  return {
    Name: { header: "VOLUME NAME", value: ({ name }) => name },
    Driver: { header: "DRIVER", value: () => "local" },
    Scope: { header: "SCOPE", value: () => "local" },
    Mountpoint: { header: "MOUNTPOINT", value: (volume) => volumeData(engine, volume) },
    Labels: {
      header: "LABELS",
      value: ({ labels }) =>
        Object.keys(labels)
          .sort()
          .map((name) => `${name}=${labels[name]}`)
          .join(","),
    },
    Label: { header: "LABEL", method: ({ labels }, name) => (Object.hasOwn(labels, name) ? (labels[name] ?? "") : "") },
    Links: absent("LINKS"),
    Size: absent("SIZE"),
    Status: absent("STATUS"),
    Availability: absent("AVAILABILITY"),
    Group: absent("GROUP"),
  };
}
