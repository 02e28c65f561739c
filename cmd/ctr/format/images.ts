/** `ctr images` with `--format`: fields by name. */

import { humanSize } from "../../../internal/image/human-size.ts";
import type { ListedImage } from "../../../internal/image/list.ts";
import { knownAgo } from "./duration.ts";
import { goTime } from "./local-time.ts";
import { formatRows, type RowFields } from "./rows.ts";

export interface ImageListing {
  readonly format: string;
  readonly isShort: boolean;
  readonly withDigests: boolean;
  /** What `raw` shows of an image is then its id alone. */
  readonly isQuiet: boolean;
}

/** The text of the images in the format asked for. */
export function formatImages(images: readonly ListedImage[], listing: ImageListing): string {
  const { format, isShort, withDigests, isQuiet } = listing;
  const digest = withDigests ? "{{.Digest}}\t" : "";
  const table = `table {{.Repository}}\t{{.Tag}}\t${digest}{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`;
  const raw = isQuiet
    ? "image_id: {{.ID}}"
    : `repository: {{.Repository}}\ntag: {{.Tag}}\n${withDigests ? "digest: {{.Digest}}\n" : ""}image_id: {{.ID}}\n` +
      "created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
  return formatRows(format, fields(isShort, Date.now()), images, table, { type: "*formatter.imageContext", raw });
}

function fields(isShort: boolean, nowMs: number): RowFields<ListedImage> {
  return {
    ID: { header: "IMAGE ID", value: ({ id }) => (isShort ? id.slice("sha256:".length, "sha256:".length + 12) : id) },
    Repository: { header: "REPOSITORY", value: ({ repository }) => repository },
    Tag: { header: "TAG", value: ({ tag }) => tag },
    // An image has a digest of a registry only after pull or push.
    Digest: { header: "DIGEST", value: ({ digest }) => digest },
    CreatedSince: { header: "CREATED", value: ({ createdMs }) => knownAgo(createdMs, nowMs) },
    CreatedAt: { header: "CREATED AT", value: ({ createdMs }) => goTime(createdMs) },
    Size: { header: "SIZE", value: ({ size }) => humanSize(size) },
    VirtualSize: { header: "SIZE", value: ({ size }) => humanSize(size, 4) },
    // Docker counts these only for `system df -v`.
    Containers: { header: "CONTAINERS", value: () => "N/A" },
    SharedSize: { header: "SHARED SIZE", value: () => "N/A" },
    UniqueSize: { header: "UNIQUE SIZE", value: () => "N/A" },
  };
}
