/** `ctr system df`: the summary, and with `-v` a table of each kind. */
import { networkName } from "../../../internal/container/filter.ts";
import { networkNames } from "../../../internal/container/networks.ts";
import { portsText } from "../../../internal/container/port-list.ts";
import { isLive } from "../../../internal/container/states.ts";
import type { ContainerUsage, StoreUsage } from "../../../internal/container/usage.ts";
import { humanSize } from "../../../internal/image/human-size.ts";
import type { ImageUsage } from "../../../internal/image/usage.ts";
import type { VolumeUsage } from "../../../internal/volume/usage.ts";
import { commandText, imageText, shortId, statusText } from "./container-text.ts";
import { humanAgo } from "./duration.ts";
import { compileObjectFormat } from "./object.ts";
import { formatRows, type RowFields } from "./rows.ts";

const utc = (ms: number) => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`;
const size = (bytes: number) => humanSize(bytes, 4);

/** One line of the summary. */
interface Kind {
  readonly type: string;
  readonly total: number;
  readonly active: number;
  readonly size: number;
  readonly reclaimable: number;
}

const KIND_FIELDS: RowFields<Kind> = {
  Type: { header: "TYPE", value: ({ type }) => type },
  TotalCount: { header: "TOTAL", value: ({ total }) => String(total) },
  Active: { header: "ACTIVE", value: ({ active }) => String(active) },
  Size: { header: "SIZE", value: (kind) => size(kind.size) },
  Reclaimable: {
    header: "RECLAIMABLE",
    value: (kind) => {
      if (kind.size === 0) return size(kind.reclaimable);
      return `${size(kind.reclaimable)} (${Math.trunc((kind.reclaimable * 100) / kind.size)}%)`;
    },
  },
};

/** One line per kind of thing. */
export function usageSummary(usage: StoreUsage, format: string): string {
  const table = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
  return formatRows(format, KIND_FIELDS, kindsOf(usage), table);
}

function kindsOf({ images, containers, volumes }: StoreUsage): readonly Kind[] {
  const sum = (some: readonly { readonly size: number }[]) => some.reduce((bytes, one) => bytes + one.size, 0);
  const resting = containers.filter(({ record }) => !isLive(record.state));
  const unused = volumes.filter(({ links }) => links === 0);
  return [
    {
      type: "Images",
      total: images.images.length,
      active: images.images.filter((image) => image.containers > 0).length,
      size: images.size,
      reclaimable: images.reclaimable,
    },
    {
      type: "Containers",
      total: containers.length,
      active: containers.length - resting.length,
      size: sum(containers),
      reclaimable: sum(resting),
    },
    {
      type: "Local Volumes",
      total: volumes.length,
      active: volumes.length - unused.length,
      size: sum(volumes),
      reclaimable: sum(unused),
    },
    // A build leaves no cache that is not an image.
    { type: "Build Cache", total: 0, active: 0, size: 0, reclaimable: 0 },
  ];
}

/** The tables of `-v`; in another format one object with `Images`, `Containers`, `Volumes` and `BuildCache`. */
export function detailedUsage(usage: StoreUsage, format: string, nowMs: number): string {
  if (!/^table(\s|$)/.test(format.trim())) {
    const rows = <Row>(fields: RowFields<Row>, some: readonly Row[]) => some.map((row) => objectOf(fields, row));
    const object = {
      Images: rows(imageFields(nowMs, false), usage.images.images),
      Containers: rows(containerFields(nowMs, false), usage.containers),
      Volumes: rows(VOLUME_FIELDS, usage.volumes),
      BuildCache: [],
    };
    return `${compileObjectFormat(format)(object)}\n`;
  }
  const table = <Row>(title: string, fields: RowFields<Row>, some: readonly Row[], columns: readonly string[]) =>
    `${title}\n\n${formatRows("table", fields, some, `table ${columns.map((name) => `{{.${name}}}`).join("\t")}`)}\n`;
  return (
    table("Images space usage:", imageFields(nowMs, true), usage.images.images, IMAGE_COLUMNS) +
    table("Containers space usage:", containerFields(nowMs, true), usage.containers, CONTAINER_COLUMNS) +
    table("Local Volumes space usage:", VOLUME_FIELDS, usage.volumes, ["Name", "Links", "Size"]) +
    `Build cache usage: 0B\n\n${formatRows("table", CACHE_FIELDS, [], CACHE_TABLE)}`
  );
}

function objectOf<Row>(fields: RowFields<Row>, row: Row): { readonly [name: string]: string } {
  return Object.fromEntries(
    Object.keys(fields)
      .sort()
      .map((name) => [name, fields[name]?.value?.(row) ?? ""]),
  );
}

const IMAGE_COLUMNS = ["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"];

function imageFields(nowMs: number, isShort: boolean): RowFields<ImageUsage> {
  return {
    Repository: { header: "REPOSITORY", value: ({ repository }) => repository },
    Tag: { header: "TAG", value: ({ tag }) => tag },
    ID: { header: "IMAGE ID", value: ({ id }) => (isShort ? shortId(id.replace(/^sha256:/, "")) : id) },
    Digest: { header: "DIGEST", value: () => "" },
    CreatedSince: { header: "CREATED", value: ({ createdMs }) => humanAgo(createdMs, nowMs) },
    CreatedAt: {
      header: "CREATED AT",
      value: ({ createdMs }) => utc(createdMs),
    },
    Size: { header: "SIZE", value: (image) => humanSize(image.size) },
    VirtualSize: { header: "SIZE", value: (image) => size(image.size) },
    SharedSize: { header: "SHARED SIZE", value: ({ shared }) => size(shared) },
    UniqueSize: { header: "UNIQUE SIZE", value: (image) => size(image.size - image.shared) },
    Containers: { header: "CONTAINERS", value: ({ containers }) => String(containers) },
  };
}

const CONTAINER_COLUMNS = ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];

function containerFields(nowMs: number, isShort: boolean): RowFields<ContainerUsage> {
  const volumesOf = ({ record }: ContainerUsage) => record.runtime.mounts.filter(({ Type }) => Type === "volume");
  return {
    ID: { header: "CONTAINER ID", value: ({ record }) => (isShort ? shortId(record.id) : record.id) },
    Names: { header: "NAMES", value: ({ record }) => record.name },
    Image: { header: "IMAGE", value: ({ record, image }) => imageText(image, record.imageId, isShort) },
    Command: { header: "COMMAND", value: ({ record }) => commandText(record, isShort) },
    LocalVolumes: { header: "LOCAL VOLUMES", value: (usage) => String(volumesOf(usage).length) },
    Size: { header: "SIZE", value: (usage) => humanSize(usage.size) },
    RunningFor: { header: "CREATED", value: ({ record }) => humanAgo(Date.parse(record.createdAt), nowMs) },
    CreatedAt: { header: "CREATED AT", value: ({ record }) => utc(Date.parse(record.createdAt)) },
    State: { header: "STATE", value: ({ record }) => record.state },
    Status: { header: "STATUS", value: ({ record }) => statusText(record, nowMs) },
    Ports: { header: "PORTS", value: ({ record }) => portsText(record) },
    Networks: { header: "NETWORKS", value: ({ record }) => networkNames(record).map(networkName).join(",") },
    Labels: {
      header: "LABELS",
      value: ({ record }) =>
        Object.entries(record.config.Labels)
          .map(([name, value]) => `${name}=${value}`)
          .join(","),
    },
    Mounts: {
      header: "MOUNTS",
      value: ({ record }) => record.runtime.mounts.map(({ Name, Source }) => Name ?? Source).join(","),
    },
  };
}

const VOLUME_FIELDS: RowFields<VolumeUsage> = {
  Name: { header: "VOLUME NAME", value: ({ volume }) => volume.name },
  Links: { header: "LINKS", value: ({ links }) => String(links) },
  Size: { header: "SIZE", value: (usage) => size(usage.size) },
  Driver: { header: "DRIVER", value: () => "local" },
  Scope: { header: "SCOPE", value: () => "local" },
  Mountpoint: { header: "MOUNTPOINT", value: ({ mountpoint }) => mountpoint },
  Labels: {
    header: "LABELS",
    value: ({ volume }) =>
      Object.entries(volume.labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(","),
  },
  Availability: { header: "AVAILABILITY", value: () => "N/A" },
  Group: { header: "GROUP", value: () => "N/A" },
  Status: { header: "STATUS", value: () => "N/A" },
};

const CACHE_FIELDS: RowFields<never> = {
  ID: { header: "CACHE ID", value: () => "" },
  CacheType: { header: "CACHE TYPE", value: () => "" },
  Size: { header: "SIZE", value: () => "" },
  CreatedSince: { header: "CREATED", value: () => "" },
  LastUsedSince: { header: "LAST USED", value: () => "" },
  UsageCount: { header: "USAGE", value: () => "" },
  Shared: { header: "SHARED", value: () => "" },
};
const CACHE_TABLE =
  "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}";
